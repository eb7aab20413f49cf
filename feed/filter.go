package feed

import (
	"cmp"
	"strings"

	"carillon"
)

// A filter is the part of OData's $filter that contract §6.3 names, as a flat
// program: comparisons of one property with one constant, joined by and and or.
// The zero filter lets everything pass.
type filter struct {
	text  string
	nodes []clause // the root is the last one
}

// clause is a comparison, or a join of two clauses before it.
type clause struct {
	op          op
	property    property
	left, right int // clauses that and and or join
	constant    constant
}

// op is what a clause does. The comparisons come first.
type op uint8

const (
	opEq op = iota
	opNe
	opGt
	opGe
	opLt
	opLe
	opAnd
	opOr
)

// property is what may be compared.
type property uint8

const (
	propReadState property = iota
	propUserActionState
	propStatus
	propGroupName
	propCreated
	propExpires
	propModified
)

// kind is the type of a property, and so of the constants that it takes.
type kind uint8

const (
	kindBool kind = iota
	kindText      // may be null
	kindName      // one of a closed set: eq and ne only
	kindTime      // milliseconds since 1970
)

// constant is what a property is compared with; null where null is set.
type constant struct {
	null bool
	num  int64 // bool as 0 and 1, time, or the place in a set
	text string
}

// propertyNamed finds a property by its name in the JSON of a notification.
func propertyNamed(name string) (property, bool) {
	for p := propReadState; p <= propModified; p++ {
		if p.String() == name {
			return p, true
		}
	}
	return 0, false
}

func (p property) String() string {
	switch p {
	case propReadState:
		return "readState"
	case propUserActionState:
		return "userActionState"
	case propStatus:
		return "status"
	case propGroupName:
		return "groupName"
	case propCreated:
		return "creationDateTime"
	case propExpires:
		return "expirationDateTime"
	case propModified:
	}
	return "lastModifiedDateTime"
}

func (p property) kind() kind {
	switch p {
	case propReadState:
		return kindBool
	case propUserActionState, propStatus:
		return kindName
	case propGroupName:
		return kindText
	case propCreated, propExpires, propModified:
	}
	return kindTime
}

// nullable tells whether the property can be null.
func (p property) nullable() bool { return p == propGroupName || p == propModified }

// names are the values of a property of a closed set, in the order of its
// constants.
func (p property) names() []string {
	switch p {
	case propUserActionState:
		return []string{carillon.NoInteraction.String(), carillon.Activated.String(), carillon.Dismissed.String(), carillon.Snoozed.String()}
	case propStatus:
		return []string{statusActive, statusUpdated, statusDeleted}
	case propReadState, propGroupName, propCreated, propExpires, propModified:
	}
	return nil
}

// The places of a status in its set.
const (
	statusActive  = "Active"
	statusUpdated = "Updated"
	statusDeleted = "Deleted"
)

// facts are what a filter asks of an item.
type facts interface {
	// fact is the value of a property.
	fact(p property) (constant, error)
}

// match tells whether an item passes.
func (f *filter) match(of facts) (bool, error) {
	if len(f.nodes) == 0 {
		return true, nil
	}
	return f.holds(len(f.nodes)-1, of)
}

// holds is the value of one clause; and and or look at their right side only
// when it counts. The depth is what the parser allowed.
func (f *filter) holds(i int, of facts) (bool, error) {
	c := &f.nodes[i]
	if c.op == opAnd || c.op == opOr {
		ok, err := f.holds(c.left, of)
		if err != nil || ok == (c.op == opOr) {
			return ok, err
		}
		return f.holds(c.right, of)
	}
	v, err := of.fact(c.property)
	return err == nil && compare(c.op, c.property.kind(), v, c.constant), err
}

// compare is OData's: null equals null only, and is neither above nor below
// anything (URL conventions 5.1.1.1).
func compare(o op, k kind, a, b constant) bool {
	if a.null || b.null {
		return (o == opEq) == (a.null && b.null) && (o == opEq || o == opNe)
	}
	order := cmp.Compare(a.num, b.num)
	if k == kindText {
		order = strings.Compare(a.text, b.text)
	}
	switch o {
	case opEq:
		return order == 0
	case opNe:
		return order != 0
	case opGt:
		return order > 0
	case opGe:
		return order >= 0
	case opLt:
		return order < 0
	case opLe:
		return order <= 0
	case opAnd, opOr:
	}
	return false
}
