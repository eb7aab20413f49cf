package apns

import (
	"slices"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// Encode is what becomes of a push at now; nothing where that topic's tokens do
// not take it, or where it is too large.
func Encode(p *carillon.Push, now time.Time, bundles ...string) (path string, fields []h2.Field, body []byte, kind carillon.Kind) {
	var (
		sh     shot
		parser fastjson.Parser
	)
	t := newTopic(h2.Field{Name: "apns-topic", Value: p.Endpoint.AppID}, bundles)
	o := optionsOf(p, &parser)
	if !t.takes(p, &o) {
		return "", nil, nil, carillon.KindNone
	}
	if !sh.encode(p, t, &o, now) {
		return "", nil, nil, carillon.KindNone
	}
	sh.Fields[0].Value = "bearer x.y.z"
	return sh.Path, sh.Fields, sh.Body, sh.kind
}

// Head are the fields that every request to Apple's production servers begins with.
func Head(path string) []h2.Field {
	site, _ := wire.ParseSite(production, "")
	return slices.Insert(static(&site), 3, h2.Field{Name: ":path", Value: path})
}

// Weigh corrects an outcome by what is known of key, topic and environment.
func Weigh(o carillon.Outcome, key, topic, environment bool) carillon.Outcome {
	weigh(&o, standing{key: key, topic: topic, environment: environment})
	return o
}

// Hold has a Signer keep its token.
func (s *Signer) Hold() { s.hold(s.cur) }

// Judge is what an answer means.
func Judge(r *h2.Result, now time.Time) carillon.Outcome {
	return judge(r, &fastjson.Parser{}, now, defaultServerErrorWait)
}

// Signer makes provider tokens.
type Signer struct {
	signer

	conns map[uint64]*use
}

// NewSigner reads a credential.
func NewSigner(cred carillon.Credential) (*Signer, error) {
	s, err := newSigner(&cred)
	if err != nil {
		return nil, err
	}
	return &Signer{signer: signer{key: s.key, keyID: s.keyID, teamID: s.teamID}, conns: map[uint64]*use{}}, nil
}

// Header is the authorization value at now on a connection.
func (s *Signer) Header(now time.Time, conn uint64) (string, error) {
	u, ok := s.conns[conn]
	if !ok {
		u = &use{}
		s.conns[conn] = u
	}
	t, err := s.token(now, u)
	if err != nil {
		return "", err
	}
	return t.header, nil
}

// Encoder encodes into the same buffers again and again, as Send does.
type Encoder struct {
	sh     shot
	topic  *topic
	parser fastjson.Parser
}

// NewEncoder makes an Encoder.
func NewEncoder() *Encoder {
	return &Encoder{topic: newTopic(h2.Field{Name: "apns-topic", Value: "com.example.app"}, nil)}
}

// Encode encodes one push.
func (e *Encoder) Encode(p *carillon.Push) h2.Request {
	o := optionsOf(p, &e.parser)
	e.sh.encode(p, e.topic, &o, time.Time{})
	return e.sh.Request
}

// Proven is the memory of device tokens that took a push.
type Proven struct{ p *proven }

// NewProven makes an empty one.
func NewProven() *Proven {
	return &Proven{newProven()}
}

// Add notes a token.
func (p *Proven) Add(a string) { p.p.add(p.p.mark(a)) }

// Has tells whether it is known.
func (p *Proven) Has(a string) bool { return p.p.has(p.p.mark(a)) }

// Remove forgets it.
func (p *Proven) Remove(a string) { p.p.remove(p.p.mark(a)) }

// Turns is turns.
type Turns struct{ t turns }

// Next is how long the next one waits.
func (t *Turns) Next(now time.Time) time.Duration { return t.t.next(now) }
