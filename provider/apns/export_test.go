package apns

import (
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
)

// Encode is what becomes of a push at now; nothing where that topic's tokens do
// not take it, or where it is too large.
func Encode(p *carillon.Push, now time.Time, bundles ...string) (path string, fields []h2.Field, body []byte, kind carillon.Kind) {
	var (
		b  batch
		sh shot
	)
	t := newTopic(h2.Field{Name: "apns-topic", Value: p.Endpoint.AppID}, bundles)
	o := optionsOf(p, &b.parser)
	if !t.takes(p, &o) {
		return "", nil, nil, carillon.KindNone
	}
	r, ok := b.encode(&sh, p, t, &o, &token{header: "bearer x.y.z"}, now)
	if !ok {
		return "", nil, nil, carillon.KindNone
	}
	return r.Path, r.Fields, r.Body, sh.kind
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
type Signer struct{ signer }

// NewSigner reads a credential.
func NewSigner(cred carillon.Credential) (*Signer, error) {
	s, err := newSigner(&cred)
	if err != nil {
		return nil, err
	}
	return &Signer{signer{key: s.key, keyID: s.keyID, teamID: s.teamID}}, nil
}

// Header is the authorization value at now on a connection.
func (s *Signer) Header(now time.Time, conn uint64) (string, error) {
	t, err := s.token(now, conn)
	if err != nil {
		return "", err
	}
	return t.header, nil
}

// Encoder encodes into the same buffers again and again, as Send does.
type Encoder struct {
	b     batch
	sh    shot
	topic *topic
	tok   token
}

// NewEncoder makes an Encoder.
func NewEncoder() *Encoder {
	return &Encoder{tok: token{header: "bearer x.y.z"}, topic: newTopic(h2.Field{Name: "apns-topic", Value: "com.example.app"}, nil)}
}

// Encode encodes one push.
func (e *Encoder) Encode(p *carillon.Push) h2.Request {
	e.b.fields = e.b.fields[:0]
	o := optionsOf(p, &e.b.parser)
	r, _ := e.b.encode(&e.sh, p, e.topic, &o, &e.tok, time.Time{})
	return r
}
