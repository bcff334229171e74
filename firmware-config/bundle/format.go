package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tapkeeper/emv"
)

// FormatCAKey writes a CA key as the file that Load reads, and says where in the folder it belongs.
func FormatCAKey(environment string, rid [5]byte, index byte, public []byte, lastDay time.Time, source string) (name string, body []byte, err error) {
	sum := sha256.Sum256(append(append(bytes.Clone(rid[:]), index), public...))
	body, err = toml.Marshal(keyFile{
		Schema: schema, Environment: environment, RID: fmt.Sprintf("%X", rid), Index: int64(index),
		PublicKey: fmt.Sprintf("%X", public), SHA256: fmt.Sprintf("%X", sum),
		NotAfter: toml.LocalDate{Year: lastDay.Year(), Month: int(lastDay.Month()), Day: lastDay.Day()}, Source: source,
	})
	if err != nil {
		return "", nil, fmt.Errorf("format CA key: %w", err)
	}
	return "capk/" + environment + "/" + keyName(rid[:], index), body, nil
}

// FormatHotlist writes the two files of a hotlist without revoked certificates, with these devices blocked.
func FormatHotlist(version int64, issued time.Time, blocked []emv.DeviceID) (map[string][]byte, error) {
	crl, err := toml.Marshal(crlFile{Schema: schema, Version: version, IssuedAt: issued, Entries: []crlLine{}})
	if err != nil {
		return nil, fmt.Errorf("format CRL: %w", err)
	}
	list := exceptionsFile{Schema: schema, Version: version, IssuedAt: issued, Entries: []exceptionLine{}}
	for _, device := range blocked {
		list.Entries = append(list.Entries, exceptionLine{Device: fmt.Sprintf("%X", device.Bytes())})
	}
	exceptions, err := toml.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("format exception list: %w", err)
	}
	return map[string][]byte{crlName: crl, exceptionsName: exceptions}, nil
}
