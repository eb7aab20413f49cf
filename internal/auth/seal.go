package auth

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer seals what outlives a process and must not be read by others: push
// credentials. Each text gets a data key of its own (AES-256-GCM), which is
// sealed under a key that derives from the master key (envelope encryption, as a
// key management service does it). Safe for concurrent use.
type Sealer struct {
	current string
	keys    map[string]tink.AEAD
}

// NewSealer makes a sealer that seals under the current master key and opens
// what older ones sealed.
func NewSealer(current *Master, old ...*Master) (*Sealer, error) {
	s := &Sealer{keys: make(map[string]tink.AEAD)}
	for _, m := range append(old, current) {
		secret, id := m.Derive("credential/seal"), m.Derive("credential/id")
		remote, err := subtle.NewAESGCM(secret[:])
		if err != nil {
			return nil, fmt.Errorf("the key that seals credentials: %w", err)
		}
		s.current = hex.EncodeToString(id[:4])
		s.keys[s.current] = aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), remote)
	}
	return s, nil
}

// Seal seals a text for a place (such as host and platform), where alone it can
// be opened again. Key names the master key that it was sealed under.
func (s *Sealer) Seal(text []byte, place string) (sealed []byte, key string, err error) {
	if sealed, err = s.keys[s.current].Encrypt(text, []byte(place)); err != nil {
		return nil, "", fmt.Errorf("sealing: %w", err)
	}
	return sealed, s.current, nil
}

// Open opens what Seal sealed. The error says whether the key is missing or the
// text was changed or moved.
func (s *Sealer) Open(sealed []byte, key, place string) ([]byte, error) {
	k := s.keys[key]
	if k == nil {
		return nil, fmt.Errorf("sealed under master key %.16s, which is not here: give the process the master key that it was sealed under", key)
	}
	text, err := k.Decrypt(sealed, []byte(place))
	if err != nil {
		return nil, errors.New("sealed text that was changed, or belongs elsewhere")
	}
	return text, nil
}
