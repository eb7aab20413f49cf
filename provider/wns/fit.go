package wns

import (
	"github.com/valyala/fastjson"

	"carillon"
)

// Fit is the kind that a push becomes: a tap where its content would not fit
// Microsoft's limit. It is what Send decides when it encodes.
func Fit(p *carillon.Push) carillon.Kind {
	var parser fastjson.Parser
	o := optionsOf(p, &parser)
	_, k := appendBody(nil, p, &o)
	return k
}
