package apdu

import "fmt"

// SW is a status word.
type SW uint16

// Status words of the scheme (scheme 5.2, 7.4).
const (
	OK               SW = 0x9000
	WrongLength      SW = 0x6700
	CannotTap        SW = 0x6984
	NotSatisfied     SW = 0x6985
	SeePhone         SW = 0x6986
	WrongData        SW = 0x6A80
	NotSupported     SW = 0x6A81
	FileNotFound     SW = 0x6A82
	RecordNotFound   SW = 0x6A83
	WrongParameters  SW = 0x6A86
	ReferenceMissing SW = 0x6A88
	UnknownCommand   SW = 0x6D00
)

// String returns the word as hex.
func (s SW) String() string { return fmt.Sprintf("%04X", uint16(s)) }

// More reports a 61xx word: the number of bytes that GET RESPONSE fetches
// (1..256).
func (s SW) More() (n int, ok bool) { return expected(byte(s)), s>>8 == 0x61 }

// WrongLe reports a 6Cxx word and the Le to repeat the command with (1..256).
func (s SW) WrongLe() (n int, ok bool) { return expected(byte(s)), s>>8 == 0x6C }
