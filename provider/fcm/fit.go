package fcm

import (
	"github.com/valyala/fastjson"

	"carillon"
)

// Fit is the kind that a push becomes: a tap where its content would not fit
// Google's limit. It is what Send decides when it encodes.
func Fit(p *carillon.Push) carillon.Kind {
	_, k := appendBody(nil, p, &fastjson.Parser{}, p.Notification.Accepted, false)
	return k
}
