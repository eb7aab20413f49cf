package feed

import (
	"slices"
	"strings"

	"carillon"
)

// Bounds of a $select.
const (
	maxSelect = 1 << 10
	maxNames  = 40
)

// selection is a $select: the members that an answer shall have. The zero one
// is all of them.
type selection struct {
	text  string
	names []string
}

// parseSelect reads a $select. The type is open, so any name may be asked for;
// one that a notification does not have is not in the answer.
func parseSelect(text string) (selection, error) {
	if len(text) > maxSelect {
		return selection{}, carillon.Errorf(carillon.CodeInvalidRequest, "$select", "has %d bytes, at most %d are allowed", len(text), maxSelect)
	}
	s := selection{text: text}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "*":
			return selection{}, nil
		case strings.ContainsAny(name, "/("):
			return selection{}, carillon.Errorf(carillon.CodeNotImplemented, "$select", "%.60s: whole properties can be selected, no parts of them", name)
		case !identifier(name):
			return selection{}, carillon.Errorf(carillon.CodeInvalidRequest, "$select", "%.60q is no property's name", name)
		}
		s.names = append(s.names, name)
	}
	if len(s.names) > maxNames {
		return selection{}, carillon.Errorf(carillon.CodeInvalidRequest, "$select", "names %d properties, at most %d may stand there", len(s.names), maxNames)
	}
	return s, nil
}

// identifier tells whether name may name a property (OData ABNF
// odataIdentifier, in ASCII).
func identifier(name string) bool {
	if name == "" || len(name) > 128 || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// has tells whether a member stays. Annotations and the id, which deltas live
// by, always do.
func (s *selection) has(name []byte) bool {
	if string(name) == "id" || len(name) > 0 && name[0] == '@' {
		return true
	}
	return slices.ContainsFunc(s.names, func(n string) bool { return n == string(name) })
}

// cut takes the members that were not selected out of dst[from:], which is one
// JSON object as package httpapi writes them: without space between tokens.
func (s *selection) cut(dst []byte, from int) []byte {
	if len(s.names) == 0 || from >= len(dst) || dst[from] != '{' {
		return dst
	}
	out := from + 1
	for i := from + 1; i < len(dst) && dst[i] != '}'; {
		end := skipMember(dst, i)
		name, _ := memberName(dst[i:end])
		if s.has(name) {
			if out > from+1 {
				dst[out] = ','
				out++
			}
			out += copy(dst[out:], dst[i:end])
		}
		for i = end; i < len(dst) && (dst[i] == ',' || dst[i] == ' ' || dst[i] == '\t' || dst[i] == '\n' || dst[i] == '\r'); {
			i++
		}
	}
	dst[out] = '}'
	return dst[:out+1]
}

// memberName is the name at the start of a member.
func memberName(b []byte) (name []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, false
	}
	end := skipString(b, 0)
	return b[1:max(end-1, 1)], true
}

// skipMember is where the member, or value, at i ends: at a comma or a closing
// bracket of what holds it.
func skipMember(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// skipString is where the string that begins at i ends.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}
