package apns

import (
	"strings"
	"sync/atomic"

	"carillon"
	"carillon/provider/h2"
)

// maxTopics bounds the topics whose strings are kept; an app has ten.
const maxTopics = 64

// topic is what a device token belongs to: an app's bundle id, or one with the
// suffix of a push type that has tokens of its own.
type topic struct {
	field h2.Field
	// push is the push type that the suffix stands for; "" is a bundle id, which
	// takes alert and background.
	push string
	// taken is set once APNs took a push with this topic.
	taken atomic.Bool
}

// topic finds the one for an appId. Its string outlives the push, as the
// connection's header table keeps it; a device could name any number of them.
func (s *Sender) topic(appID string) *topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.topics[appID]; ok {
		return t
	}
	if len(s.topics) >= maxTopics {
		return newTopic(h2.Field{Name: "apns-topic", Value: appID, Mode: h2.NoIndex}, s.bundles)
	}
	own := strings.Clone(appID)
	t := newTopic(h2.Field{Name: "apns-topic", Value: own}, s.bundles)
	s.topics[own] = t
	return t
}

func newTopic(f h2.Field, bundles []string) *topic {
	return &topic{field: f, push: carillon.PushType(f.Value, bundles)}
}

// takes tells whether device tokens of the topic are for a push: ordinary ones
// for whatever asks for no push type, the others for what asks for theirs.
func (t *topic) takes(p *carillon.Push, o *options) bool {
	switch p.Kind {
	case carillon.KindAlert, carillon.KindData:
		return t.push == o.pushType()
	case carillon.KindTap: // a Live Activity cannot fetch
		return t.push == o.pushType() && t.push != "liveactivity"
	case carillon.KindFallback, carillon.KindClear, carillon.KindRelease, carillon.KindNone:
	}
	return t.push == ""
}
