package wns

import (
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// Encode is what becomes of a push at now.
func Encode(p *carillon.Push, now time.Time) (path string, fields []h2.Field, body []byte, kind carillon.Kind) {
	_, path, _ = carillon.SplitChannel(p.Endpoint.Address)
	sh := shot{token: &wire.Token{Header: "Bearer x"}, queued: now.UnixMilli()}
	sh.encode(p, path, &fastjson.Parser{})
	return sh.path, sh.headers(), sh.body, sh.kind
}

// Head are the fields that every request to a channel begins with.
func Head(address, path string) []h2.Field {
	host, _, _ := carillon.SplitChannel(address)
	return append(static(host), h2.Field{Name: ":path", Value: path})
}

// Judge is what an answer means.
func Judge(r *h2.Result, now time.Time) carillon.Outcome { return judge(r, now) }

// Weigh corrects an outcome by whether a push was taken.
func Weigh(o carillon.Outcome, taken bool) carillon.Outcome {
	weigh(&o, taken)
	return o
}

// Encoder encodes into the same buffer again and again, as Send does.
type Encoder struct {
	sh     shot
	parser fastjson.Parser
}

// NewEncoder makes an Encoder for pushes sent at now.
func NewEncoder(now time.Time) *Encoder {
	return &Encoder{sh: shot{token: &wire.Token{Header: "Bearer x"}, queued: now.UnixMilli()}}
}

// Encode encodes one push.
func (e *Encoder) Encode(p *carillon.Push) {
	_, path, _ := carillon.SplitChannel(p.Endpoint.Address)
	e.sh.encode(p, path, &e.parser)
}
