package fcm

import (
	"slices"
	"time"

	"github.com/valyala/fastjson"

	"carillon"
	"carillon/provider/h2"
	"carillon/provider/wire"
)

// Encode is what becomes of a push at now.
func Encode(p *carillon.Push, now time.Time) (path string, fields []h2.Field, body []byte, kind carillon.Kind) {
	body, kind = appendBody(nil, p, &fastjson.Parser{}, now.UnixMilli(), false)
	return "/v1/projects/p/messages:send", []h2.Field{{Name: "authorization", Value: "Bearer x"}}, body, kind
}

// Head are the fields that every request to Google begins with.
func Head(path string) []h2.Field {
	site, _ := wire.ParseSite(production, "")
	return slices.Insert(static(&site), 3, h2.Field{Name: ":path", Value: path})
}

// DryBody is the body of a push that is validated only.
func DryBody(p *carillon.Push, now time.Time) []byte {
	b, _ := appendBody(nil, p, &fastjson.Parser{}, now.UnixMilli(), true)
	return b
}

// Weigh corrects an outcome by whether a message was taken.
func Weigh(o carillon.Outcome, taken bool) carillon.Outcome {
	weigh(&o, taken)
	return o
}

// Judge is what an answer to that attempt means.
func Judge(r *h2.Result, now time.Time, attempt uint8) carillon.Outcome {
	return judge(r, &fastjson.Parser{}, now, attempt)
}

// Assertion is the JWT of a token request under a service account.
func Assertion(file []byte, now time.Time) (string, error) {
	a, err := parseAccount(file)
	if err != nil {
		return "", err
	}
	return a.assertion(now)
}

// AppendBody is the body of a push, in a buffer used before.
func AppendBody(buf []byte, p *carillon.Push, parser *fastjson.Parser, now time.Time) []byte {
	buf, _ = appendBody(buf, p, parser, now.UnixMilli(), false)
	return buf
}

// Pace is pace.
type Pace struct{ p pace }

// NewPace makes one.
func NewPace(perMinute int, ramp time.Duration, now time.Time) *Pace {
	return &Pace{newPace(perMinute, ramp, now)}
}

// Room is how many may go.
func (p *Pace) Room(now time.Time) int { return p.p.room(now) }

// Take notes that n go.
func (p *Pace) Take(n int) { p.p.take(n) }
