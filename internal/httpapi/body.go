package httpapi

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"carillon"
)

// Body is the decoded body, of at most limit bytes, borrowed until the handler
// returns. Content-Encoding may be absent, identity, gzip or deflate; anything
// else is 415 (contract §1.1). The limit holds for the decoded bytes, so that
// a small body that would decode to a huge one ends as 413 before it does.
func (r *Request) Body(limit int) ([]byte, error) {
	raw := r.ctx.Request.Body()
	enc := bytes.TrimSpace(r.ctx.Request.Header.ContentEncoding())
	switch {
	case len(enc) == 0, bytes.EqualFold(enc, []byte("identity")):
		if len(raw) > limit {
			return nil, bodyTooLarge(limit)
		}
		return raw, nil
	case bytes.EqualFold(enc, []byte("gzip")):
		z := r.srv.inflaters.gzip()
		defer r.srv.inflaters.pool.Put(z)
		if err := z.Reset(bytes.NewReader(raw)); err != nil {
			return nil, badEncoding("gzip", err)
		}
		return r.inflate(z, "gzip", limit)
	case bytes.EqualFold(enc, []byte("deflate")):
		z, err := deflateReader(raw)
		if err != nil {
			return nil, badEncoding("deflate", err)
		}
		defer func() { _ = z.Close() }()
		return r.inflate(z, "deflate", limit)
	}
	return nil, carillon.Errorf(carillon.CodeUnsupportedMedia, "Content-Encoding", "%.40q is not supported; send gzip, deflate or no encoding", enc)
}

// inflate reads at most limit bytes into the request's own buffer.
func (r *Request) inflate(z io.Reader, name string, limit int) ([]byte, error) {
	buf := bytes.NewBuffer(r.body[:0])
	n, err := buf.ReadFrom(io.LimitReader(z, int64(limit)+1))
	r.body = buf.Bytes()
	switch {
	case n > int64(limit):
		return nil, bodyTooLarge(limit)
	case err != nil:
		return nil, badEncoding(name, err)
	}
	return r.body, nil
}

// deflateReader reads the zlib format, which is what HTTP calls deflate
// (RFC 9110 §8.4.1.2), and the bare deflate format that some clients send.
func deflateReader(raw []byte) (io.ReadCloser, error) {
	if len(raw) >= 2 && raw[0]&0x0f == 8 && (uint(raw[0])<<8|uint(raw[1]))%31 == 0 { // RFC 1950 §2.2
		return zlib.NewReader(bytes.NewReader(raw))
	}
	return flate.NewReader(bytes.NewReader(raw)), nil
}

func badEncoding(name string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	e := carillon.Errorf(carillon.CodeInvalidRequest, "Content-Encoding", "the body is not valid %s", name)
	e.Cause = err
	return e
}

// inflaters keeps gzip readers: one costs 40 KiB to make.
type inflaters struct{ pool sync.Pool }

func (p *inflaters) gzip() *gzip.Reader {
	if z, ok := p.pool.Get().(*gzip.Reader); ok {
		return z
	}
	return new(gzip.Reader)
}
