package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"carillon"
)

// decoding reads the decoded bytes of a body. It is reused: a decoder's window
// costs 40 KiB to make.
type decoding struct {
	in   *incoming
	buf  *bufio.Reader
	name string
	z    io.Reader // one of the three below
	gz   *gzip.Reader
	zl   io.ReadCloser
	fl   io.ReadCloser
}

// begin starts to decode a body that names gzip or deflate.
func (d *decoding) begin(name string, in *incoming) error {
	if d.buf == nil {
		d.buf = bufio.NewReaderSize(nil, 4<<10)
	}
	d.in, d.name = in, name
	d.buf.Reset(in)
	if err := d.open(); err != nil {
		return d.fault(err)
	}
	return nil
}

// open makes or resets the decoder. What HTTP calls deflate is the zlib format
// (RFC 9110 §8.4.1.2); some clients send bare deflate instead. No encoder
// begins bare deflate with what would be a zlib header (RFC 1950 §2.2): it
// would be an unfinished stored block with a padding bit set.
func (d *decoding) open() (err error) {
	if d.name == "gzip" {
		if d.gz == nil {
			d.gz = new(gzip.Reader)
		}
		d.z = d.gz
		return d.gz.Reset(d.buf)
	}
	head, err := d.buf.Peek(2)
	if err == nil && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		if d.zl == nil {
			d.zl, err = zlib.NewReader(d.buf)
		} else if again, ok := d.zl.(zlib.Resetter); ok {
			err = again.Reset(d.buf, nil)
		}
		d.z = d.zl
		return err
	}
	if len(head) == 0 {
		return io.ErrUnexpectedEOF
	}
	if d.fl == nil {
		d.fl = flate.NewReader(d.buf)
	} else if again, ok := d.fl.(flate.Resetter); ok {
		err = again.Reset(d.buf, nil)
		if err != nil {
			return err
		}
	}
	d.z = d.fl
	return nil
}

// Read reads decoded bytes. The end is the end only when the body ends there,
// too.
func (d *decoding) Read(p []byte) (int, error) {
	n, err := d.z.Read(p)
	if !errors.Is(err, io.EOF) {
		if err != nil {
			err = d.fault(err)
		}
		return n, err
	}
	switch _, err := d.buf.ReadByte(); {
	case err == nil:
		return n, d.fault(errors.New("something stands behind it"))
	case !errors.Is(err, io.EOF):
		return n, d.fault(err)
	}
	return n, io.EOF
}

// fault tells a fault of the way from one of the format.
func (d *decoding) fault(err error) error {
	if d.in.err != nil && !d.in.ended {
		return d.in.err
	}
	return badEncoding(d.name, err)
}

func badEncoding(name string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	e := carillon.Errorf(carillon.CodeInvalidRequest, "Content-Encoding", "the body is not valid %s", name)
	e.Cause = fmt.Errorf("decoding: %w", err)
	return e
}

// decoders keeps what decodes.
type decoders struct{ pool sync.Pool }

func (p *decoders) get() *decoding {
	if d, ok := p.pool.Get().(*decoding); ok {
		return d
	}
	return &decoding{}
}

func (p *decoders) put(d *decoding) {
	d.in, d.z = nil, nil
	d.buf.Reset(nil)
	p.pool.Put(d)
}

// encoding is the name of a body's encoding, "" for none; anything but gzip and
// deflate is 415 (contract §1.1).
func (r *Request) encoding() (string, error) {
	enc := bytes.TrimSpace(r.ctx.Request.Header.ContentEncoding())
	switch {
	case len(enc) == 0, bytes.EqualFold(enc, []byte("identity")):
		return "", nil
	case bytes.EqualFold(enc, []byte("gzip")):
		return "gzip", nil
	case bytes.EqualFold(enc, []byte("deflate")):
		return "deflate", nil
	}
	return "", carillon.Errorf(carillon.CodeUnsupportedMedia, "Content-Encoding", "%.40q is not supported; send gzip, deflate or no encoding", enc)
}
