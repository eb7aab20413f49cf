package feed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"carillon"
	"carillon/feed"
)

// march is 2026-03-01T00:00:00Z.
const march = 1_772_323_200_000

func TestFilter(t *testing.T) {
	n := carillon.Notification{Accepted: march + 1000, Group: "it's news"}
	it := carillon.Item{
		Created: 5, Content: 6, Accepted: march, Expires: march + 86_400_000,
		State: carillon.State{Read: true, Action: carillon.Dismissed},
	}
	never, blank := it, carillon.Notification{}
	never.Content, never.State = 5, carillon.State{}
	for text, want := range map[string][2]bool{
		"readState eq true":                                              {true, false},
		"true eq readState":                                              {true, false},
		"readState ne true":                                              {false, true},
		"userActionState eq 'Dismissed'":                                 {true, false},
		"userActionState eq 'noInteraction'":                             {false, true},
		"userActionState ne 'Activated'":                                 {true, true},
		"status eq 'Updated'":                                            {true, false},
		"status eq 'Active' or status eq 'Updated'":                      {true, true},
		"status eq 'Deleted'":                                            {false, false},
		"groupName eq 'it''s news'":                                      {true, false},
		"groupName gt 'a' and groupName lt 'z'":                          {true, false},
		"groupName eq null":                                              {false, true},
		"null ne groupName":                                              {true, false},
		"groupName ne 'x'":                                               {true, true},
		"creationDateTime eq 2026-03-01T00:00:00Z":                       {true, true},
		"creationDateTime ge 2026-03-01T01:00:00+01:00":                  {true, true},
		"creationDateTime gt 2026-03-01T00:00:00Z":                       {false, false},
		"2026-03-01T00:00:00.001Z gt creationDateTime":                   {true, true},
		"2026-03-01T00:00:00.001Z le creationDateTime":                   {false, false},
		"expirationDateTime le 2026-03-02T00:00:00Z":                     {true, true},
		"lastModifiedDateTime gt 2026-03-01T00:00:00Z":                   {true, false},
		"lastModifiedDateTime lt 2026-03-01T00:00:00Z":                   {false, false},
		"lastModifiedDateTime eq null":                                   {false, true},
		"readState eq false or readState eq true and groupName eq 'q'":   {false, true},
		"(readState eq false or readState eq true) and groupName eq 'q'": {false, false},
		"((readState eq true)) and\t( userActionState eq 'Dismissed' or status eq 'Deleted' )":                        {true, false},
		"readState eq true and readState eq true and readState eq true or status eq 'Deleted'":                        {true, false},
		"status eq 'Deleted' or (groupName eq null and (readState eq false or status eq 'x')) and readState eq false": {},
	} {
		matches, _, err := feed.ParseFilter(text)
		if strings.Contains(text, "'x')") { // 'x' is no status
			if err == nil {
				t.Errorf("%s: no error", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := matches(&it, &n)
		other, err2 := matches(&never, &blank)
		if err != nil || err2 != nil || got != want[0] || other != want[1] {
			t.Errorf("%s: %v %v (%v %v), want %v", text, got, other, err, err2, want)
		}
	}
}

func TestFilterFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "invalidRequest at byte 1: is empty",
		"  ":                           "invalidRequest at byte 3: is empty",
		"readState":                    "invalidRequest at byte 10: eq, ne",
		"readState eq":                 "invalidRequest at byte 13: a property or a constant",
		"readState eq maybe":           "invalidRequest at byte 14: maybe cannot be filtered by",
		"readState eq 'true'":          "invalidRequest at byte 14: readState is true or false",
		"readState gt true":            "invalidRequest at byte 14: readState is compared by eq and ne",
		"readState eq null":            "invalidRequest at byte 14: readState is never null",
		"readState eq true and":        "invalidRequest at byte 22: a property",
		"readState eq true readState":  "invalidRequest at byte 19: and, or or the end",
		"readState eq true)":           "invalidRequest at byte 18: and, or or the end",
		"(readState eq true":           "invalidRequest at byte 19: and, or or )",
		"readState = true":             "invalidRequest at byte 11: eq, ne",
		"readState EQ true":            "invalidRequest at byte 11: eq, ne",
		"groupName eq 'x":              "invalidRequest at byte 14: a property or a constant is wanted here, not a text without",
		"groupName eq x":               "invalidRequest at byte 14: x cannot",
		"groupName eq 5":               "invalidRequest at byte 14: groupName is compared with a 'text'",
		"groupName gt null":            "invalidRequest at byte 14: null is compared by eq and ne",
		"userActionState eq 'Gone'":    "invalidRequest at byte 20: userActionState is one of 'NoInteraction', ",
		"userActionState gt 'Snoozed'": "invalidRequest at byte 20: userActionState is compared by",
		"creationDateTime gt 2026":     "invalidRequest at byte 21: creationDateTime is compared with a date",
		"creationDateTime gt '2026-03-01T00:00:00Z'": "invalidRequest at byte 21: creationDateTime is compared with a date",
		"true eq true":                         "invalidRequest at byte 1: a property is wanted",
		"readState eq readState":               "notSupported at byte 14: comparing two properties",
		"not readState eq true":                "notSupported at byte 1: not",
		"contains(groupName, 'x')":             "notSupported at byte 1: the function contains",
		"groupName in ('x')":                   "notSupported at byte 11: in",
		"title eq 'x'":                         "invalidRequest at byte 1: title cannot be filtered by",
		"readState eq true, readState eq true": "invalidRequest at byte 18: and, or or the end",
		strings.Repeat("(", 17) + "readState":  "invalidRequest at byte 17: parentheses stand more than 16",
		"readState eq true" + strings.Repeat(" or readState eq true", 32): "invalidRequest at byte",
		strings.Repeat(" ", 3000): "invalidRequest has 3000 bytes",
	} {
		_, _, err := feed.ParseFilter(text)
		var e *carillon.Error
		if !errors.As(err, &e) || e.Target != "$filter" || !strings.HasPrefix(e.Code.String()+" "+e.Message, want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"readState eq true", "(groupName eq 'it''s' or status ne 'Active') and creationDateTime le 2026-03-01T00:00:00Z",
		"null ne lastModifiedDateTime", "((readState eq false))", "contains(groupName,'x')", "'", "not (", "a,b",
	} {
		f.Add(s)
	}
	n, it := carillon.Notification{Group: "g"}, carillon.Item{Created: 1, Content: 2}
	f.Fuzz(func(t *testing.T, text string) {
		matches, clauses, err := feed.ParseFilter(text)
		if err != nil {
			var e *carillon.Error
			if !errors.As(err, &e) || e.Target != "$filter" || len(e.Message) > 400 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		one, err1 := matches(&it, &n)
		// A filter says the same in parentheses, and twice.
		for _, same := range []string{"(" + text + ")", "(" + text + ") and (" + text + ")", "(" + text + ") or (" + text + ")"} {
			again, n2, err := feed.ParseFilter(same)
			if err != nil {
				if len(same) < 2<<10 && clauses < 30 && strings.Count(text, "(") < 16 {
					t.Errorf("%q: %v", same, err)
				}
				continue
			}
			two, err2 := again(&it, &n)
			if one != two || err1 != nil || err2 != nil || n2 < clauses {
				t.Errorf("%q is %v, %q is %v", text, one, same, two)
			}
		}
	})
}

func TestSelect(t *testing.T) {
	const whole = `{"@odata.etag":"W/\"1\"","id":"1","a":{"b":[1,"},{"],"c":2},"b":"x\\\"y,","c":null,"d d":[],"e":-1.5}`
	for sel, want := range map[string]string{
		"a":                            `{"@odata.etag":"W/\"1\"","id":"1","a":{"b":[1,"},{"],"c":2}}`,
		"b, c":                         `{"@odata.etag":"W/\"1\"","id":"1","b":"x\\\"y,","c":null}`,
		"e,nope":                       `{"@odata.etag":"W/\"1\"","id":"1","e":-1.5}`,
		"*":                            whole,
		"*,a":                          whole,
		"id":                           `{"@odata.etag":"W/\"1\"","id":"1"}`,
		"":                             "invalidRequest",
		"a,":                           "invalidRequest",
		"a b":                          "invalidRequest",
		"payload/":                     "notSupported",
		"1":                            "invalidRequest",
		strings.Repeat("a,", 40) + "a": "invalidRequest",
		strings.Repeat("a", 2000):      "invalidRequest",
	} {
		got, err := feed.Select(sel, []byte(whole))
		if err != nil {
			got = []byte(carillon.AsError(err).Code.String())
		}
		if string(got) != want {
			t.Errorf("%.40q: %s, want %s", sel, got, want)
		}
	}
}

// FuzzSelect: what is left of any object is one, with the members that were
// named and no others.
func FuzzSelect(f *testing.F) {
	f.Add("a", `{"id":"1","a":{"b":[1,"},{"]},"c":"\\\""}`)
	f.Add("c,b", `{"b":[],"c":{}, "d":1}`)
	f.Add("a", `{}`)
	f.Fuzz(func(t *testing.T, sel, object string) {
		var before, after map[string]json.RawMessage
		var compact bytes.Buffer
		if json.Unmarshal([]byte(object), &before) != nil || before == nil || json.Compact(&compact, []byte(object)) != nil {
			return
		}
		if strings.Contains(object, `\`) { // names are compared as they are written
			return
		}
		got, err := feed.Select(sel, compact.Bytes())
		if err != nil {
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q of %s: %s: %v", sel, object, got, err)
		}
		all := strings.Contains(sel, "*")
		for name := range before {
			_, has := after[name]
			wanted := all || name == "id" || strings.HasPrefix(name, "@")
			for n := range strings.SplitSeq(sel, ",") {
				wanted = wanted || strings.TrimSpace(n) == name
			}
			if has != wanted {
				t.Errorf("%q of %s: %s", sel, object, got)
			}
		}
	})
}

func TestMaxPageSize(t *testing.T) {
	for header, want := range map[string]int{
		"": 0, "odata.maxpagesize=5": 5, "respond-async, odata.maxpagesize = 7": 7, `maxpagesize="9"; x=y`: 9,
		"ODATA.MaxPageSize=3": 3, "odata.maxpagesize=0": 0, "odata.maxpagesize=x": 0, "odata.maxpagesize": 0, "return=minimal": 0,
	} {
		if got := feed.MaxPageSize(header); got != want {
			t.Errorf("%q: %d, want %d", header, got, want)
		}
	}
}

func TestTokens(t *testing.T) {
	k, bob := &feed.Key{1}, carillon.User{Host: alice.Host, ID: "dev.bob"}
	token := feed.SealList(k, alice, "readState eq true", "id", 7, 99)
	filter, sel, top, at, err := feed.OpenList(k, alice, token)
	if err != nil || filter != "readState eq true" || sel != "id" || top != 7 || at != 99 {
		t.Error(filter, sel, top, at, err)
	}
	for name, open := range map[string]func() error{
		"another user": func() error { _, _, _, _, err := feed.OpenList(k, bob, token); return err },
		"another key":  func() error { _, _, _, _, err := feed.OpenList(&feed.Key{2}, alice, token); return err },
		"empty":        func() error { _, _, _, _, err := feed.OpenList(k, alice, ""); return err },
		"cut":          func() error { _, _, _, _, err := feed.OpenList(k, alice, token[:len(token)-4]); return err },
		"longer":       func() error { _, _, _, _, err := feed.OpenList(k, alice, token+"AAAA"); return err },
		"lines":        func() error { _, _, _, _, err := feed.OpenList(k, alice, token[:10]+"\n"+token[10:]); return err },
	} {
		var e *carillon.Error
		if err := open(); !errors.As(err, &e) || e.Code != carillon.CodeInvalidRequest || e.Target != "$skiptoken" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzToken: only what was sealed opens, and it opens to the same.
func FuzzToken(f *testing.F) {
	k := &feed.Key{1}
	good := feed.SealList(k, alice, "readState eq true", "id", 7, 99)
	f.Add(good, "readState eq true", "id", uint16(7), uint64(99))
	f.Add("", "", "", uint16(0), uint64(0))
	f.Fuzz(func(t *testing.T, text, filter, sel string, top uint16, at uint64) {
		if _, _, _, _, err := feed.OpenList(k, alice, text); err == nil && text != good {
			t.Fatalf("%q opens", text)
		}
		if len(filter)+len(sel) > 4000 {
			return
		}
		top %= 1001
		token := feed.SealList(k, alice, filter, sel, int(top), carillon.Seq(at))
		f2, s2, t2, a2, err := feed.OpenList(k, alice, token)
		if err == nil && (f2 != filter || s2 != sel && !strings.Contains(sel, "*") || t2 != int(top) || a2 != carillon.Seq(at)) {
			t.Errorf("%q %q %d %d became %q %q %d %d", filter, sel, top, at, f2, s2, t2, a2)
		}
	})
}
