package sandbox

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// mark is what the sender's own data says of a push: the app on the device reads
// it. APNs and WNS raw carry a "carillon" object at the top level, FCM
// carillon_* keys in data, a WNS toast its launch argument.
type mark struct {
	id      string
	seq     string // or pos: where the notification was created
	version string // or v
	kind    string
	ids     []string // of a clear: what to remove
}

func (m *mark) clears() bool { return m.kind == "clear" }

// gone is what a clear removes: its list, or else the one it is about.
func (m *mark) gone() []string {
	if len(m.ids) == 0 && m.id != "" {
		return []string{m.id}
	}
	return m.ids
}

// markOfObject reads {"id":…,"seq" or "pos":…,"v":…,"k":…,"ids":[…]}; numbers may be strings.
func markOfObject(raw json.RawMessage) mark {
	var o struct {
		ID   loose   `json:"id"`
		Seq  loose   `json:"seq"`
		Pos  loose   `json:"pos"`
		V    loose   `json:"v"`
		K    loose   `json:"k"`
		Kind loose   `json:"kind"`
		IDs  []loose `json:"ids"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return mark{}
	}
	m := mark{
		id: string(o.ID), seq: or(string(o.Seq), string(o.Pos)), version: string(o.V),
		kind: or(string(o.K), string(o.Kind)),
	}
	for _, id := range o.IDs {
		m.ids = append(m.ids, string(id))
	}
	return m
}

// loose takes a JSON string, number or boolean as text, and nothing else.
type loose string

// UnmarshalJSON never fails on valid JSON: what is no scalar is "".
func (l *loose) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*l = loose(s)
	case '{', '[', 'n':
		*l = ""
	default:
		*l = loose(b)
	}
	return nil
}

// markOfData reads carillon_id, carillon_seq, carillon_kind (or _k) and
// carillon_ids (a JSON array or a comma list); "carillon" may be the object.
func markOfData(data map[string]string) mark {
	if o := data["carillon"]; strings.HasPrefix(o, "{") {
		return markOfObject(json.RawMessage(o))
	}
	m := mark{
		id: data["carillon_id"], seq: first(data, "carillon_seq", "carillon_pos"), version: data["carillon_v"],
		kind: first(data, "carillon_kind", "carillon_k", "k"),
	}
	if list := data["carillon_ids"]; list != "" {
		var ids []loose
		if json.Unmarshal([]byte(list), &ids) == nil {
			for _, id := range ids {
				m.ids = append(m.ids, string(id))
			}
		} else {
			m.ids = strings.Split(list, ",")
		}
	}
	return m
}

// markOfLaunch reads a toast's launch argument: "carillon?id=…&seq=…&k=…".
func markOfLaunch(launch string) mark {
	_, query, ok := strings.Cut(launch, "carillon?")
	if !ok {
		return mark{}
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return mark{}
	}
	m := mark{id: q.Get("id"), seq: or(q.Get("seq"), q.Get("pos")), version: q.Get("v"), kind: q.Get("k")}
	if ids := q.Get("ids"); ids != "" {
		m.ids = strings.Split(ids, ",")
	}
	return m
}

func first(data map[string]string, keys ...string) string {
	for _, k := range keys {
		if v := data[k]; v != "" {
			return v
		}
	}
	return ""
}

// auditKey is the part of a push that says which delivery it is, found without
// parsing and appended to dst: id, position, version and kind of the carillon data
// when there is any, else the apns-id, else the body. A retry repeats it although
// other parts (a TTL) may differ.
func auditKey(dst []byte, apnsID string, body []byte) []byte {
	if i := bytes.Index(body, []byte(`"carillon":{`)); i >= 0 {
		o := body[i+len(`"carillon":`):]
		if id := scanValue(o, `"id":`); len(id) > 0 {
			dst = append(dst, id...)
			for _, k := range []string{`"seq":`, `"pos":`, `"v":`, `"k":`} {
				dst = append(append(dst, '/'), scanValue(o, k)...)
			}
			return dst
		}
	}
	if id := scanValue(body, `"carillon_id":`); len(id) > 0 {
		dst = append(dst, id...)
		for _, k := range []string{`"carillon_seq":`, `"carillon_pos":`, `"carillon_v":`, `"carillon_kind":`, `"carillon_k":`} {
			dst = append(append(dst, '/'), scanValue(body, k)...)
		}
		return dst
	}
	if i := bytes.Index(body, []byte(`carillon?`)); i >= 0 {
		if n := bytes.IndexAny(body[i:], `"'<`); n > 0 {
			return append(dst, body[i:i+n]...)
		}
	}
	if apnsID != "" {
		return append(dst, apnsID...)
	}
	return append(dst, body...)
}

// scanValue is the JSON string or number that follows key, as written, without
// quotes; nil when there is none.
func scanValue(body []byte, key string) []byte {
	i := bytes.Index(body, []byte(key))
	if i < 0 {
		return nil
	}
	rest := bytes.TrimLeft(body[i+len(key):], " ")
	if len(rest) > 0 && rest[0] == '"' {
		if n := bytes.IndexByte(rest[1:], '"'); n >= 0 {
			return rest[1 : 1+n]
		}
		return nil
	}
	for n, c := range rest {
		if (c < '0' || c > '9') && c != '-' {
			return rest[:n]
		}
	}
	return rest
}
