package apns

import (
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
)

// Encode is what becomes of a push at now.
func Encode(p *carillon.Push, _ time.Time) (path string, fields []h2.Field, body []byte, kind carillon.Kind) {
	var (
		b  batch
		sh shot
	)
	r := b.encode(&sh, p, h2.Field{Name: "apns-topic", Value: p.Endpoint.AppID}, &token{header: "bearer x.y.z"})
	return r.Path, r.Fields, r.Body, sh.kind
}

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
	b   batch
	sh  shot
	tok token
}

// NewEncoder makes an Encoder.
func NewEncoder() *Encoder { return &Encoder{tok: token{header: "bearer x.y.z"}} }

// Encode encodes one push.
func (e *Encoder) Encode(p *carillon.Push) h2.Request {
	e.b.fields = e.b.fields[:0]
	return e.b.encode(&e.sh, p, h2.Field{Name: "apns-topic", Value: p.Endpoint.AppID}, &e.tok)
}
