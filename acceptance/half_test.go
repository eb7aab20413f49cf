//go:build acceptance

package acceptance_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	halves     = 10_000
	goodSends  = 300
	mostMemory = 512 << 10 // KiB
)

// halfRequests opens ten thousand connections of clients who begin a request and
// do not go on, while a good one sends.
func halfRequests(t *testing.T, s *site, p *person) (ids []string) {
	auth := "Authorization: Bearer " + p.token + "\r\n"
	shapes := []string{
		"", "P", "POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nX-Slow: ",
		"POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 8<<10),
		"POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n{",
		"POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\n" + auth + "Content-Length: 65536\r\n\r\n{\"x\":\"" + strings.Repeat("x", 9<<10),
		"POST /api/v1/notifications HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n{",
		"POST /api/v1/notifications HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n{",
		"POST /api/v1/endpoints HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n{",
		"GET /beta/me/notifications?$top=1000 HTTP/1.1\r\nHost: a\r\n" + auth + "\r\n", // and does not read
	}
	address := strings.TrimPrefix(s.url, "http://")
	conns := make([]net.Conn, halves)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	s.forgetPeak(t)
	before := s.memory(t, "VmRSS")
	var opening sync.WaitGroup
	failed := make([]error, 32)
	for w := range failed {
		opening.Go(func() {
			for i := w; i < halves; i += len(failed) {
				c, err := net.Dial("tcp", address)
				if err != nil {
					failed[w] = err
					return
				}
				conns[i] = c
				_, _ = io.WriteString(c, shapes[i%len(shapes)])
			}
		})
	}
	stop, dribbled := make(chan struct{}), make(chan struct{})
	go func() { // a byte of a header now and then keeps none of them
		defer close(dribbled)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for i := 2; i < halves; i += len(shapes) {
				if c := conns[i]; c != nil {
					_, _ = c.Write([]byte("x"))
				}
			}
		}
	}()
	opening.Wait()
	var took []time.Duration
	for i := range goodSends {
		from := time.Now()
		r := s.call(t, p.token, "POST", "/beta/me/notifications", visual(fmt.Sprint("among halves ", i), "")).want(t, 201)
		took = append(took, time.Since(from))
		ids = append(ids, r.str("id"))
	}
	close(stop)
	<-dribbled
	peak := s.memory(t, "VmHWM")
	slices.Sort(took)
	t.Logf("%d half requests: %d MiB before, %d MiB at most; a good client's %d sends: p50 %v, p99 %v, most %v", halves, before>>10, peak>>10,
		goodSends, took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond))
	if !race && peak > mostMemory {
		t.Errorf("%d KiB, at most %d may be", peak, mostMemory)
	}
	for _, err := range failed {
		if err != nil {
			t.Errorf("a half request could not be opened: %v", err)
		}
	}
	cutOff(t, s, conns, len(shapes))
	return ids
}

// cutOff waits until the gateway has ended each half request, with an answer
// where it was begun.
func cutOff(t *testing.T, s *site, conns []net.Conn, shapes int) {
	t.Helper()
	var wrong int
	for i := range 200 {
		c := conns[i]
		if i%shapes == shapes-1 {
			continue // answered, and idle now
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		text, err := io.ReadAll(c)
		if len(text) == 0 && i%shapes == 0 || err == nil && (bytes.HasPrefix(text, []byte("HTTP/1.1 408 ")) || bytes.HasPrefix(text, []byte("HTTP/1.1 401 "))) {
			continue
		}
		if bytes.HasPrefix(text, []byte("HTTP/1.1 4")) { // reset behind the answer
			continue
		}
		if wrong++; wrong < 4 {
			t.Errorf("half request of shape %d: %.80q %v", i%shapes, text, err)
		}
	}
}

// files makes room for n more open files, here and in what is started from here.
func files(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur, limit.Max = max(n, limit.Cur), max(n, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("%d open files are needed, %d allowed: %v", n, limit.Max, err)
	}
}
