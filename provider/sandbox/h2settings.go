package sandbox

import "golang.org/x/net/http2"

// settings is how a vendor's HTTP/2 front end presents itself.
type settings struct {
	list       []http2.Setting
	streams    uint32 // at first
	raised     uint32 // after the first good credential; 0: stays
	window     int64  // of a stream
	connWindow int64
	headerList int
	overrun    http2.ErrCode // of the GOAWAY when a client opens too many streams
	overrunMsg string
}

// settingsOf: APNs as seen on its wire (1 stream until a request carries a valid
// token, then 1000), FCM as Google's front end, WNS unknown (defaults). In Fast
// mode a bench must not be bound by the limits.
func settingsOf(v Vendor, m Mode) settings {
	if m == Fast {
		const streams, window = 4096, 1 << 20
		return settings{
			streams: streams, window: window, connWindow: 1 << 30, headerList: 16384, overrun: http2.ErrCodeRefusedStream,
			list: []http2.Setting{
				{ID: http2.SettingMaxConcurrentStreams, Val: streams},
				{ID: http2.SettingInitialWindowSize, Val: window},
				{ID: http2.SettingMaxHeaderListSize, Val: 16384},
			},
		}
	}
	switch v {
	case APNs:
		return settings{
			streams: 1, raised: 1000, window: 65535, connWindow: 65535, headerList: 8000,
			overrun: http2.ErrCodeRefusedStream, overrunMsg: "Maximum active streams violated for this endpoint.",
			list: []http2.Setting{
				{ID: http2.SettingHeaderTableSize, Val: 4096},
				{ID: http2.SettingMaxConcurrentStreams, Val: 1},
				{ID: http2.SettingInitialWindowSize, Val: 65535},
				{ID: http2.SettingMaxFrameSize, Val: maxFrame},
				{ID: http2.SettingMaxHeaderListSize, Val: 8000},
			},
		}
	case FCM:
		return settings{
			streams: 100, window: 1048576, connWindow: 1048576, headerList: 16384,
			overrun: http2.ErrCodeProtocol, overrunMsg: "exceeded_max_concurrent_streams",
			list: []http2.Setting{
				{ID: http2.SettingMaxConcurrentStreams, Val: 100},
				{ID: http2.SettingInitialWindowSize, Val: 1048576},
				{ID: http2.SettingMaxHeaderListSize, Val: 16384},
			},
		}
	default:
		return settings{
			streams: 100, window: 65535, connWindow: 65535, headerList: 16384, overrun: http2.ErrCodeProtocol,
			list: []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 100}},
		}
	}
}

const maxFrame = 16384
