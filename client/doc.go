// Package client talks to Carillon: [Sender] for those who send, [Device] for
// apps on a user's devices. It needs nothing but the standard library.
//
// Calls are repeated on 429, 503, 504 and connection faults, with a jittered
// wait that honours Retry-After, and only where a repeat is harmless: every send
// carries an idempotency key. What remains is an [*Error] where the service
// answered, else the fault of the connection.
//
// Who reads through a client sees what was written through it: it keeps the newest
// position of each user's own writes (ReadWriteConsistencyToken), in memory, and
// reads and changes bring it. The service waits, bounded, until it is applied;
// what takes longer is a 503, and repeated.
//
// What the members of Microsoft's retired SDKs are called here:
//
//	UserDataFeed.GetForAccount                             Client.Device
//	UserDataFeed.SubscribeToSyncScopesWithResultAsync      Device.Subscribe
//	UserDataFeed.StartSync                                 Device.Sync
//	UserDataFeed.SyncStatus                                Device.SyncStatus
//	UserDataFeed.SyncStatusChanged                         DeviceOptions.OnSyncStatus
//	Subscription.UserNotificationSubscriptionId            Subscription.ID
//	Subscription.ExpirationTime                            Subscription.Expires
//	UserNotificationChannel.SyncScope                      DeviceOptions.Host
//	UserNotificationChannel.CreateReader                   Device.Reader
//	UserNotificationChannel.CreateReaderWithState          Device.ReaderWithState
//	UserNotificationChannel.GetUserNotificationAsync       Device.Get
//	UserNotificationChannel.DeleteUserNotificationAsync    Device.Delete
//	UserNotificationReader.ReadBatchAsync                  Reader.ReadBatch
//	UserNotificationReader.SerializedState                 Reader.State
//	UserNotificationReader.DataChanged                     DeviceOptions.OnChange
//	ReaderOptions.StartPosition                            ReaderOptions.Start
//	ReaderOptions.StatusFilter                             ReaderOptions.Status
//	ReaderOptions.ReadStateFilter                          ReaderOptions.ReadState
//	ReaderOptions.UserActionStateFilter                    ReaderOptions.UserAction
//	UserNotification.Id                                    Item.AppNotificationID
//	UserNotification.GroupId                               Item.GroupName
//	UserNotification.ExpirationTime                        Item.Expires
//	UserNotification.Status                                Item.Status
//	UserNotification.ChangeTime                            Item.Modified
//	UserNotification.Priority                              Item.Priority
//	UserNotification.Content                               Payload.RawContent
//	UserNotification.ReadState                             Item.ReadState
//	UserNotification.UserActionState                       Item.UserActionState
//	UserNotification.SaveAsync                             Device.SetAction
//	subscribeToUserNotificationsAsync                      Device.Subscribe
//	unsubscribeFromUserNotificationsAsync                  Device.Unsubscribe
//	processPushNotificationAsync                           Device.ProcessPush
//	getAllNotificationsAsync                               Device.All
//	updateNotificationReadStateAsync                       Device.SetRead
//	updateNotificationUserActionStateAsync                 Device.SetAction
//	deleteNotificationAsync                                Device.Delete
//	accessToken                                            Options.Token
//	id                                                     Item.ID
//	targetHostName                                         Item.TargetHostName
//	appNotificationId                                      Item.AppNotificationID
//	groupName                                              Item.GroupName
//	creationDateTime                                       Item.Created
//	lastModifiedDateTime                                   Item.Modified
//	expirationDateTime                                     Item.Expires
//	status                                                 Item.Status
//	priority                                               Item.Priority
//	displayTimeToLive                                      Item.DisplayTimeToLive
//	readState                                              Item.ReadState
//	userActionState                                        Item.UserActionState
//	targetPolicy                                           Item.TargetPolicy
//	payload                                                Item.Payload
//	resultStatus                                           Error.Code
//	retryAfterDateTime                                     Error.RetryAfter
package client
