package h2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

const (
	frameHeaderLen = 9        // RFC 9113 §4.1
	maxFrameLen    = 16 << 10 // what we let the server send: the protocol's least, and default
	initialWindow  = 65535    // RFC 9113 §6.9.2
	maxWindow      = 1<<31 - 1
	maxStreamID    = 1<<31 - 1

	connRecvWindow = 1 << 20 // our credit for all response bodies together
)

// connError ends the connection: code goes into our GOAWAY, text to people.
type connError struct {
	code http2.ErrCode
	text string
}

func (e *connError) Error() string { return e.code.String() + ": " + e.text }

func broken(text string) *connError {
	return &connError{http2.ErrCodeProtocol, text}
}

func putFrameHeader(b []byte, n int, t http2.FrameType, flags http2.Flags, id uint32) {
	_ = b[8]
	b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) //nolint:gosec // cut to the field's 24 bits; frames are shorter
	b[3], b[4] = byte(t), byte(flags)
	binary.BigEndian.PutUint32(b[5:], id)
}

func appendFrameHeader(b []byte, n int, t http2.FrameType, flags http2.Flags, id uint32) []byte {
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	putFrameHeader(b[len(b)-frameHeaderLen:], n, t, flags, id)
	return b
}

func appendRST(b []byte, id uint32, code http2.ErrCode) []byte {
	b = appendFrameHeader(b, 4, http2.FrameRSTStream, 0, id)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendWindowUpdate(b []byte, id, n uint32) []byte {
	b = appendFrameHeader(b, 4, http2.FrameWindowUpdate, 0, id)
	return binary.BigEndian.AppendUint32(b, n)
}

func appendPing(b []byte, flags http2.Flags, data []byte) []byte {
	b = appendFrameHeader(b, 8, http2.FramePing, flags, 0)
	return append(b, data[:8]...)
}

func appendGoAway(b []byte, code http2.ErrCode) []byte {
	b = appendFrameHeader(b, 8, http2.FrameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 0) // we never accept a stream of the server's
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendSettings(b []byte, settings ...http2.Setting) []byte {
	b = appendFrameHeader(b, 6*len(settings), http2.FrameSettings, 0, 0)
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID))
		b = binary.BigEndian.AppendUint32(b, s.Val)
	}
	return b
}
