package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	importPiece    = 8 << 20 // bytes sent with one request, whole lines
	importAttempts = 8       // tries of one piece
	importWait     = 500 * time.Millisecond
	importWaitMost = 15 * time.Second
	toldLines      = 20 // bad lines that are told
	toldEvery      = time.Second
)

// importSummary is what an import prints.
type importSummary struct {
	Lines    int     `json:"lines"`
	Accepted int     `json:"accepted"`
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"`
}

// importing is one run of the import.
type importing struct {
	env    *env
	door   *door
	sum    importSummary
	before int // lines of the input before the piece at hand
	told   int
	from   time.Time
	last   time.Time
}

func (e *env) importEndpoints(ctx context.Context, d *door, name string) error {
	in, err := openInput(e, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	m := &importing{env: e, door: d, from: d.clock.Now()}
	m.last = m.from
	err = m.pieces(in, func(piece []byte) error { return m.send(ctx, piece) })
	m.sum.Seconds = d.clock.Now().Sub(m.from).Round(time.Millisecond).Seconds()
	if err != nil {
		return fmt.Errorf("%w\nlines 1 to %d of %s are done, %d accepted: run it again as a whole (a line imported twice changes nothing), or from line %d on",
			err, m.before, name, m.sum.Accepted, m.before+1)
	}
	if err := e.answer(m.sum, func(w io.Writer) {
		fmt.Fprintf(w, "%d lines: %d accepted, %d failed, in %.1f s\n", m.sum.Lines, m.sum.Accepted, m.sum.Failed, m.sum.Seconds)
	}); err != nil {
		return err
	}
	if m.sum.Failed > 0 {
		return fmt.Errorf("%d of %d lines were refused: correct them and import them again", m.sum.Failed, m.sum.Lines)
	}
	return nil
}

// openInput opens a file, packed or not, or standard input.
func openInput(e *env, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(e.stdin), nil
	}
	f, err := os.Open(name) //nolint:gosec // the caller names it
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".gz") {
		return f, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// pieces cuts the input into pieces of whole lines.
func (m *importing) pieces(in io.Reader, send func([]byte) error) error {
	buf, held := make([]byte, importPiece), 0
	for {
		n, err := io.ReadFull(in, buf[held:])
		held += n
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return fmt.Errorf("reading: %w", err)
		}
		piece := buf[:held]
		if !ended {
			piece = buf[:bytes.LastIndexByte(piece, '\n')+1]
			if len(piece) == 0 {
				return fmt.Errorf("line %d is longer than %d bytes: the input has to be JSON lines", m.before+1, len(buf))
			}
		}
		if len(piece) > 0 {
			if err := send(piece); err != nil {
				return err
			}
			m.before += bytes.Count(piece, []byte{'\n'})
			if piece[len(piece)-1] != '\n' {
				m.before++
			}
		}
		if ended {
			return nil
		}
		held = copy(buf, buf[len(piece):held])
	}
}

// send sends one piece until it is answered, or there is no hope.
func (m *importing) send(ctx context.Context, piece []byte) error {
	wait := importWait
	for attempt := 1; ; attempt++ {
		after, err := m.post(ctx, piece)
		if err == nil {
			m.progress()
			return nil
		}
		if after < 0 || attempt == importAttempts || ctx.Err() != nil {
			return err
		}
		after = max(after, wait)
		fmt.Fprintf(m.env.stderr, "line %d: %v; again in %v\n", m.before+1, err, after)
		if err := m.door.clock.Sleep(ctx, after); err != nil {
			return err
		}
		wait = min(2*wait, importWaitMost)
	}
}

// post sends a piece once. With an error it tells after how long to try again,
// negative when that is of no use.
func (m *importing) post(ctx context.Context, piece []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.door.url+endpointsPath, bytes.NewReader(piece))
	if err != nil {
		return -1, err
	}
	req.Header.Set("Authorization", "Bearer "+m.door.token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := m.door.http.Do(req)
	if err != nil {
		return 0, m.door.unreachable(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, opsAnswer))
	switch {
	case err != nil:
		return 0, m.door.unreachable(err)
	case res.StatusCode == http.StatusOK:
		return -1, m.count(text)
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout || res.StatusCode >= http.StatusInternalServerError:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return time.Duration(seconds) * time.Second, refusal(res.Status, text)
	}
	return -1, refusal(res.Status, text)
}

// count reads the answer to one piece.
func (m *importing) count(text []byte) error {
	for line := range bytes.Lines(text) {
		var l struct {
			Error *struct {
				Message, Target string
				Line            int
			}
			Summary *importSummary
		}
		if err := json.Unmarshal(line, &l); err != nil {
			return fmt.Errorf("the gateway's answer is not understood: %w", err)
		}
		switch {
		case l.Summary != nil:
			m.sum.Lines += l.Summary.Lines
			m.sum.Accepted += l.Summary.Accepted
			m.sum.Failed += l.Summary.Failed
			return nil
		case l.Error != nil:
			m.bad(m.before+l.Error.Line, l.Error.Target, l.Error.Message)
		}
	}
	return errors.New("the gateway's answer has no summary")
}

func (m *importing) bad(line int, target, message string) {
	m.told++
	switch {
	case m.told > toldLines:
	case m.told == toldLines:
		fmt.Fprintf(m.env.stderr, "line %d: more lines like this are only counted\n", line)
	case target != "":
		fmt.Fprintf(m.env.stderr, "line %d: %s: %s\n", line, target, message)
	default:
		fmt.Fprintf(m.env.stderr, "line %d: %s\n", line, message)
	}
}

// progress tells now and then how far it is.
func (m *importing) progress() {
	now := m.door.clock.Now()
	if m.env.json || now.Sub(m.last) < toldEvery {
		return
	}
	m.last = now
	fmt.Fprintf(m.env.stderr, "%d lines, %d failed, %.0f lines/s\n", m.sum.Lines, m.sum.Failed, float64(m.sum.Lines)/now.Sub(m.from).Seconds())
}
