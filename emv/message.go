package emv

import "strconv"

// Message is a text on the customer's display (scheme 3.6).
type Message byte

// Messages.
const (
	MsgNone           Message = 0x00
	MsgApproved       Message = 0x03
	MsgDeclined       Message = 0x07
	MsgError          Message = 0x0F
	MsgWelcome        Message = 0x14
	MsgPresent        Message = 0x15
	MsgProcessing     Message = 0x16
	MsgRemove         Message = 0x17
	MsgOtherInterface Message = 0x18
	MsgOneCard        Message = 0x19
	MsgAuthorising    Message = 0x1B
	MsgOtherCard      Message = 0x1C
	MsgSeePhone       Message = 0x20
	MsgPresentAgain   Message = 0x21
)

// messages is the table of scheme 3.6.
var messages = map[Message]texts{
	MsgApproved:       {"支付成功", "Approved"},
	MsgDeclined:       {"未通过", "Not approved"},
	MsgError:          {"处理出错", "Processing error"},
	MsgWelcome:        {"欢迎", "Welcome"},
	MsgPresent:        {"请将手机靠近", "Hold phone near reader"},
	MsgProcessing:     {"处理中", "Processing"},
	MsgRemove:         {"可以移开手机", "You may remove the phone"},
	MsgOtherInterface: {"请使用其他方式付款", "Use another way to pay"},
	MsgOneCard:        {"请只放一部手机", "Present one phone only"},
	MsgAuthorising:    {"正在授权", "Authorising, please wait"},
	MsgOtherCard:      {"请换一种付款方式", "Try another card or phone"},
	MsgSeePhone:       {"请查看手机", "See phone for instructions"},
	MsgPresentAgain:   {"请再次靠近", "Present again"},
}

// Text is what the customer reads; English for a language without texts, and
// the processing error for an unknown message.
func (m Message) Text(l Language) string {
	t, ok := messages[m]
	if !ok {
		t = messages[MsgError]
	}
	return t.in(l)
}

// Status goes with a message to lights and sound (scheme 3.6).
type Status byte

// Statuses.
const (
	StatusNotReady   Status = 0x00
	StatusIdle       Status = 0x01
	StatusReady      Status = 0x02
	StatusProcessing Status = 0x03
	StatusRead       Status = 0x04
	StatusError      Status = 0x05
)

// Result is how a field activation ended (scheme 3.6).
type Result byte

// Results. SELECT_NEXT never leaves the kernel.
const (
	Approved Result = iota + 1
	Online
	Declined
	TryAgain
	OtherInterface
	End
	Undetermined
)

var resultNames = [...]string{
	Approved: "APPROVED", Online: "ONLINE", Declined: "DECLINED", TryAgain: "TRY_AGAIN",
	OtherInterface: "OTHER_INTERFACE", End: "END", Undetermined: "UNDETERMINED",
}

// String returns the scheme's word.
func (r Result) String() string {
	if r == 0 || int(r) >= len(resultNames) {
		return "Result(" + strconv.Itoa(int(r)) + ")"
	}
	return resultNames[r]
}
