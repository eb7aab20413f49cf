package feed

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// deliveries answers GET /api/v1/users/{id}/notifications/{nid}/deliveries: why
// did it not arrive.
func (f *Feed) deliveries(r *httpapi.Request) error {
	u, err := f.caller(r, need{roles: []string{auth.RoleSend, auth.RoleReadAll}})
	if err != nil {
		return err
	}
	item, id, err := f.item(r, u)
	if err != nil {
		return err
	}
	sync, err := f.deps.Directory.Sync(u)
	if err != nil {
		return err
	}
	r.JSON(fasthttp.StatusOK, appendDeliveries(r.Scratch(), u, id, item, &sync))
	return nil
}

// appendDeliveries writes what became of an item at each endpoint. Push
// addresses are not in it: they are secrets of the devices.
func appendDeliveries(dst []byte, u carillon.User, id carillon.ID, item *carillon.Item, sync *carillon.Sync) []byte {
	dst = append(dst, `{"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, `","targetHostName":`...)
	dst = httpapi.AppendString(dst, u.Host)
	dst = append(dst, `,"userId":`...)
	dst = httpapi.AppendString(dst, u.ID)
	dst = append(dst, `,"position":"`...)
	dst = append(dst, httpapi.EncodePosition(carillon.Position{Partition: item.Partition, Seq: item.Content})...)
	dst = append(dst, `","acceptedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Accepted)
	dst = append(dst, `,"journalledDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Journalled)
	dst = append(dst, `,"plannedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Planned)
	dst = append(dst, `,"expirationDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.Expires)
	dst = append(dst, `,"readState":`...)
	dst = strconv.AppendBool(dst, item.State.Read)
	dst = append(dst, `,"userActionState":"`...)
	dst = append(dst, item.State.Action.String()...)
	dst = append(dst, `","changedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, item.State.Changed)
	if item.State.Deleted {
		dst = append(dst, `,"deleted":true`...)
	}
	if len(item.Deliveries) == 0 {
		dst = append(dst, `,"note":"no endpoint was to ring: the user had none, or none that the notification was meant for; it is history"`...)
	}
	dst = append(dst, `,"deliveries":[`...)
	for i := range item.Deliveries {
		if i > 0 {
			dst = append(dst, ',')
		}
		d := &item.Deliveries[i]
		dst = appendDelivery(dst, d)
		dst = append(appendSynced(dst, item, d, sync), '}')
	}
	return append(dst, "]}"...)
}

func appendDelivery(dst []byte, d *carillon.Delivery) []byte {
	dst = appendOutcome(append(dst, '{'), d)
	dst = append(dst, `,"waits":`...)
	if d.Outcome.Class.Terminal() || d.Hint == carillon.HintNone {
		return append(dst, "null"...)
	}
	dst = append(append(append(dst, '"'), d.Hint.String()...), '"')
	if d.Hint == carillon.HintDue {
		dst = httpapi.AppendTime(append(dst, `,"nextAttemptDateTime":`...), d.Due)
	}
	return dst
}

// appendOutcome writes what a delivery and a line of the outcomes have in
// common.
func appendOutcome(dst []byte, d *carillon.Delivery) []byte {
	dst = append(dst, `"endpoint":`...)
	dst = httpapi.AppendString(dst, d.Endpoint)
	dst = append(dst, `,"platform":"`...)
	dst = append(dst, d.Platform.String()...)
	dst = append(dst, `","kind":"`...)
	dst = append(dst, d.Kind.String()...)
	dst = append(dst, `","outcome":"`...)
	dst = append(dst, d.Outcome.Class.String()...)
	dst = append(dst, `","terminal":`...)
	dst = strconv.AppendBool(dst, d.Outcome.Class.Terminal())
	dst = append(dst, `,"reason":`...)
	if d.Outcome.Reason == "" {
		dst = append(dst, "null"...)
	} else {
		dst = httpapi.AppendString(dst, d.Outcome.Reason)
	}
	dst = append(dst, `,"status":`...)
	if d.Outcome.Status == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = httpapi.AppendInt(dst, d.Outcome.Status)
	}
	dst = append(dst, `,"attempts":`...)
	dst = httpapi.AppendInt(dst, d.Attempts)
	dst = append(dst, `,"handedDateTime":`...)
	dst = httpapi.AppendTimeOrNull(dst, d.Handed)
	dst = append(dst, `,"answeredDateTime":`...)
	return httpapi.AppendTimeOrNull(dst, d.Answered)
}

// appendSynced appends whether the endpoint told that it has fetched the item,
// and whether it was told that the user is done with it: cleared, owed, or null
// where there is nothing to tell.
func appendSynced(dst []byte, item *carillon.Item, d *carillon.Delivery, sync *carillon.Sync) []byte {
	fetched, told := false, "null"
	handled := item.State.Seq()
	if _, done := item.State.Handled(); !done {
		handled = 0
	}
	for i := range sync.Endpoints {
		e := &sync.Endpoints[i]
		if e.Endpoint != d.Endpoint || e.Incarnation != d.Incarnation {
			continue
		}
		fetched = e.Acked >= item.Content
		switch {
		case handled == 0 || e.Owed < handled:
		case e.Cleared >= handled:
			told = `"cleared"`
		default:
			told = `"owed"`
		}
	}
	dst = append(dst, `,"fetched":`...)
	dst = strconv.AppendBool(dst, fetched)
	dst = append(dst, `,"clear":`...)
	return append(dst, told...)
}
