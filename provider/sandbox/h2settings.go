package sandbox

import "golang.org/x/net/http2"

// settings is how a vendor's HTTP/2 front end presents itself on one connection.
type settings struct {
	list       []http2.Setting
	cold       uint32 // streams until the first 200; 0: open from the start
	open       uint32 // streams after that
	window     int64  // of a stream
	connWindow int64
	headerList int
	overrun    http2.ErrCode // of the GOAWAY when a client opens too many streams
	overrunMsg string
}

// settingsOf: APNs as seen on its wire (1 stream until a request carries a valid
// token, then 1000), FCM as Google's front end, WNS unknown (defaults). In Fast
// mode a bench must not be bound by the limits.
func settingsOf(v Vendor, m Mode, c *Conduct) settings {
	s := settings{cold: c.ColdStreams, open: c.Streams, window: 65535, connWindow: 65535, headerList: 16384}
	first := s.open
	if s.cold > 0 {
		first = s.cold
	}
	limit := http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: first}
	switch {
	case m == Fast:
		s.window, s.connWindow, s.overrun = 1<<20, 1<<30, http2.ErrCodeRefusedStream
		s.list = []http2.Setting{
			limit, {ID: http2.SettingInitialWindowSize, Val: 1 << 20}, {ID: http2.SettingMaxHeaderListSize, Val: 16384},
		}
	case v == APNs:
		s.headerList = 8000
		s.overrun, s.overrunMsg = http2.ErrCodeRefusedStream, "Maximum active streams violated for this endpoint."
		s.list = []http2.Setting{
			{ID: http2.SettingHeaderTableSize, Val: 4096},
			limit,
			{ID: http2.SettingInitialWindowSize, Val: 65535},
			{ID: http2.SettingMaxFrameSize, Val: maxFrame},
			{ID: http2.SettingMaxHeaderListSize, Val: 8000},
		}
	case v == FCM:
		s.window, s.connWindow = 1048576, 1048576
		s.overrun, s.overrunMsg = http2.ErrCodeProtocol, "exceeded_max_concurrent_streams"
		s.list = []http2.Setting{
			limit, {ID: http2.SettingInitialWindowSize, Val: 1048576}, {ID: http2.SettingMaxHeaderListSize, Val: 16384},
		}
	default:
		s.overrun = http2.ErrCodeProtocol
		s.list = []http2.Setting{limit}
	}
	return s
}

const maxFrame = 16384
