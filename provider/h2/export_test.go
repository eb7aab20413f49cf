package h2

// SetFirstID has the next connections begin at that stream id.
func (c *Client) SetFirstID(id uint32) { c.firstID = id }

// Encoder is the header encoder, for tests of its bytes.
type Encoder struct{ e *encoder }

// NewEncoder returns the encoder of a new connection.
func NewEncoder(static []Field) Encoder { return Encoder{newEncoder(static)} }

// SetTableSize is what the server's SETTINGS_HEADER_TABLE_SIZE does.
func (e Encoder) SetTableSize(n uint32) { e.e.setTableSize(n) }

// Block returns the header block of one request.
func (e Encoder) Block(path string, fields []Field) []byte {
	return e.e.appendBlock(nil, path, fields)
}
