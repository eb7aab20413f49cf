package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/internal/httpapi"
)

func TestMain(m *testing.M) {
	// fasthttp writes the Date header from a ticker of the whole process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs a server until the test ends and returns its base URL.
func start(t *testing.T, cfg httpapi.Config, log *slog.Logger, register func(*httpapi.Router)) (*httpapi.Server, func()) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	s := httpapi.New(cfg, log, &carillon.Clock{})
	if register != nil {
		register(s.Router())
	}
	s.Batch(func(token []byte) error {
		if string(token) == "stranger" {
			return carillon.Errorf(carillon.CodeUnauthenticated, "Authorization", "nobody's")
		}
		return nil
	})
	s.Describe()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s, run(t, s.Run)
}

// run runs a part until the returned func, or the end of the test, stops it.
func run(t *testing.T, part func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// client makes one that leaves no connection behind.
func client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

type graphError struct {
	Error struct {
		Code       string `json:"code"`
		Message    string `json:"message"`
		Target     string `json:"target"`
		InnerError struct {
			Date      string `json:"date"`
			RequestID string `json:"request-id"`
			ClientID  string `json:"client-request-id"`
		} `json:"innerError"`
	} `json:"error"`
}

func readError(t *testing.T, body io.Reader) graphError {
	t.Helper()
	var e graphError
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("not Graph's error form: %v\n%s", err, b)
	}
	if e.Error.Code == "" || e.Error.Message == "" || e.Error.InnerError.RequestID == "" || e.Error.InnerError.Date == "" {
		t.Errorf("members are missing: %s", b)
	}
	return e
}

// raw sends bytes as they are and reads the answers until the peer closes or
// nothing more is expected.
func raw(t *testing.T, addr, sent string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, sent); err != nil {
		t.Fatal(err)
	}
	return c
}
