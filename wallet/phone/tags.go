package phone

import "tapkeeper/emv/tlv"

// Data objects that the phone reads or writes (scheme 3.5, 4.1, 4.2).
const (
	tag4F     tlv.Tag = 0x4F
	tag50     tlv.Tag = 0x50
	tag5F2A   tlv.Tag = 0x5F2A
	tag61     tlv.Tag = 0x61
	tag6F     tlv.Tag = 0x6F
	tag70     tlv.Tag = 0x70
	tag77     tlv.Tag = 0x77
	tag80     tlv.Tag = 0x80
	tag82     tlv.Tag = 0x82
	tag84     tlv.Tag = 0x84
	tag87     tlv.Tag = 0x87
	tag90     tlv.Tag = 0x90
	tag94     tlv.Tag = 0x94
	tag8F     tlv.Tag = 0x8F
	tag9A     tlv.Tag = 0x9A
	tag9C     tlv.Tag = 0x9C
	tag9E     tlv.Tag = 0x9E
	tag9F02   tlv.Tag = 0x9F02
	tag9F07   tlv.Tag = 0x9F07
	tag9F10   tlv.Tag = 0x9F10
	tag9F1A   tlv.Tag = 0x9F1A
	tag9F1C   tlv.Tag = 0x9F1C
	tag9F21   tlv.Tag = 0x9F21
	tag9F26   tlv.Tag = 0x9F26
	tag9F27   tlv.Tag = 0x9F27
	tag9F2B   tlv.Tag = 0x9F2B
	tag9F2C   tlv.Tag = 0x9F2C
	tag9F36   tlv.Tag = 0x9F36
	tag9F37   tlv.Tag = 0x9F37
	tag9F38   tlv.Tag = 0x9F38
	tag9F42   tlv.Tag = 0x9F42
	tag9F46   tlv.Tag = 0x9F46
	tag9F4B   tlv.Tag = 0x9F4B
	tag9F8102 tlv.Tag = 0x9F8102
	tag9F8103 tlv.Tag = 0x9F8103
	tag9F8105 tlv.Tag = 0x9F8105
	tag9F8108 tlv.Tag = 0x9F8108
	tagA5     tlv.Tag = 0xA5
	tagBF0C   tlv.Tag = 0xBF0C
	tagDA     tlv.Tag = 0xDA
	tagDF8B01 tlv.Tag = 0xDF8B01
	tagDF8B0A tlv.Tag = 0xDF8B0A
	tagDF8B10 tlv.Tag = 0xDF8B10
	tagDF8B11 tlv.Tag = 0xDF8B11
	tagDF8B21 tlv.Tag = 0xDF8B21
	tagDF8B22 tlv.Tag = 0xDF8B22
	tagDF8B23 tlv.Tag = 0xDF8B23
	tagDF8B24 tlv.Tag = 0xDF8B24
	tagDF8B26 tlv.Tag = 0xDF8B26
)
