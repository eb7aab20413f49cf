package carillon

// Place is where an entry stands in a user's feed: at the seq of the record
// that wrote it, and, as one record may change many items, at the created seq of
// its item.
type Place struct{ At, Created Seq }

// FeedRange is a part of a user's feed.
type FeedRange struct {
	// From is the first place of it, To the seq that ends it.
	From Place
	To   Seq
	// Marks is the seq from which on the items that a floor mark changed are
	// among the entries; whoever reads all items with their state needs no
	// earlier ones.
	Marks Seq
	// Rows bounds how many rows are read.
	Rows int
}
