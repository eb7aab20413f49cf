package wire

import "os"

// Key gives the bytes of a credential's key: its content where it was onboarded
// with one, else what the file holds now. From names it in faults.
func Key(content []byte, file string) (b []byte, from string, err error) {
	if len(content) > 0 {
		return content, "the key", nil
	}
	b, err = os.ReadFile(file)
	return b, file, err
}
