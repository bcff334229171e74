package emv

// Reason says why a sale ended as it did (scheme 10).
type Reason byte

// Reasons. Those below 20 may also come from the phone or the wallet.
const (
	ReasonOK              Reason = 0x00
	ReasonRestricted      Reason = 0x01
	ReasonBalance         Reason = 0x02
	ReasonAllowanceUsed   Reason = 0x03
	ReasonPerTap          Reason = 0x04
	ReasonNoAllowance     Reason = 0x05
	ReasonOutdated        Reason = 0x06
	ReasonUnlock          Reason = 0x07
	ReasonUnknownDevice   Reason = 0x08
	ReasonDuplicate       Reason = 0x09
	ReasonCurrency        Reason = 0x0A
	ReasonRisk            Reason = 0x0B
	ReasonExpired         Reason = 0x0C
	ReasonCountry         Reason = 0x0D
	ReasonUsage           Reason = 0x0E
	ReasonLimits          Reason = 0x0F
	ReasonNoWallet        Reason = 0x10
	ReasonClock           Reason = 0x11
	ReasonPhoneError      Reason = 0x12
	ReasonOtherWallet     Reason = 0x13
	ReasonCertificate     Reason = 0x20
	ReasonMAC             Reason = 0x21
	ReasonSignature       Reason = 0x22
	ReasonRevoked         Reason = 0x23
	ReasonDistance        Reason = 0x24
	ReasonRepeated        Reason = 0x25
	ReasonOfflineLimit    Reason = 0x26
	ReasonNeedsConnection Reason = 0x27
	ReasonTooEarly        Reason = 0x28
	ReasonUnknown         Reason = 0x29
	ReasonProtocol        Reason = 0x2A
	ReasonTimeout         Reason = 0x2B
	ReasonCancelled       Reason = 0x2C
	ReasonCounter         Reason = 0x31
	ReasonCryptogram      Reason = 0x32
	ReasonAllowanceCheck  Reason = 0x33
)

// Side says who gives a reason.
type Side string

// Sides.
const (
	SideNone     Side = ""
	SideWallet   Side = "wallet"
	SidePhone    Side = "phone"
	SideTerminal Side = "terminal"
	SideBackend  Side = "backend"
)

// Retry says whether trying again helps, and what must change first.
type Retry string

// Retries.
const (
	RetryNone            Retry = "" // nothing to retry
	RetryNo              Retry = "no"
	RetryYes             Retry = "yes"
	RetryOnce            Retry = "once"
	RetryTopUp           Retry = "after top-up"
	RetryOnline          Retry = "when online"
	RetrySmaller         Retry = "smaller amount"
	RetrySmallerOrOnline Retry = "smaller amount or online"
	RetryUpdate          Retry = "after update"
	RetrySync            Retry = "after sync"
	RetryOtherCard       Retry = "other card"
	RetryOtherPhone      Retry = "other phone"
	RetryRightPhone      Retry = "right phone"
	RetrySamePhone       Retry = "yes, same phone"
)

// Language of the texts.
type Language string

// Languages of the texts.
const (
	Chinese Language = "zh-CN"
	English Language = "en"
)

type texts struct{ zh, en string }

func (t texts) in(l Language) string {
	if l == Chinese {
		return t.zh
	}
	return t.en
}

type reasonRow struct {
	side  Side
	texts texts
	retry Retry
}

// reasons is the table of scheme 10.
var reasons = map[Reason]reasonRow{
	ReasonOK:              {SideNone, texts{"正常", "OK"}, RetryNone},
	ReasonRestricted:      {SideWallet, texts{"账户受限,请联系钱包客服", "Account restricted, contact the wallet"}, RetryNo},
	ReasonBalance:         {SideWallet, texts{"余额不足", "Insufficient balance"}, RetryTopUp},
	ReasonAllowanceUsed:   {SidePhone, texts{"离线额度已用完,请联网后再试", "Offline allowance used up, go online and retry"}, RetryOnline},
	ReasonPerTap:          {SidePhone, texts{"超过单笔离线限额", "Over the per-tap offline limit"}, RetrySmallerOrOnline},
	ReasonNoAllowance:     {SidePhone, texts{"离线额度无效或已过期,请联网更新", "Offline allowance missing or expired, go online"}, RetryOnline},
	ReasonOutdated:        {SidePhone, texts{"钱包版本过旧,请更新应用", "Wallet app outdated, update it"}, RetryUpdate},
	ReasonUnlock:          {SidePhone, texts{"请解锁手机并确认", "Unlock the phone and confirm"}, RetryYes},
	ReasonUnknownDevice:   {SideWallet, texts{"设备未注册", "Unknown device"}, RetryNo},
	ReasonDuplicate:       {SidePhone, texts{"重复交易", "Duplicate payment"}, RetryNo},
	ReasonCurrency:        {SidePhone, texts{"不支持该币种", "Currency not supported"}, RetryNo},
	ReasonRisk:            {SideWallet, texts{"风险控制拒绝", "Declined for risk reasons"}, RetryNo},
	ReasonExpired:         {SidePhone, texts{"卡片已过期或未生效", "Card expired or not yet valid"}, RetryOtherCard},
	ReasonCountry:         {SidePhone, texts{"不支持该国家或地区", "Country not supported"}, RetryNo},
	ReasonUsage:           {SidePhone, texts{"该卡不支持此类交易", "Card does not allow this kind of payment"}, RetryOtherCard},
	ReasonLimits:          {SideTerminal, texts{"金额超出限制", "Amount outside the limits"}, RetrySmaller},
	ReasonNoWallet:        {SidePhone, texts{"未找到可用钱包", "No usable wallet found"}, RetryOtherPhone},
	ReasonClock:           {SideTerminal, texts{"时间或安全数据过旧", "Clock or security data out of date"}, RetrySync},
	ReasonPhoneError:      {SidePhone, texts{"手机内部错误", "Phone internal error"}, RetryYes},
	ReasonOtherWallet:     {SidePhone, texts{"与原交易账户不一致", "Not the wallet of the original payment"}, RetryRightPhone},
	ReasonCertificate:     {SideTerminal, texts{"证书验证失败", "Certificate check failed"}, RetryNo},
	ReasonMAC:             {SideTerminal, texts{"数据校验失败", "Data check failed"}, RetryOnce},
	ReasonSignature:       {SideTerminal, texts{"签名验证失败", "Signature check failed"}, RetryNo},
	ReasonRevoked:         {SideTerminal, texts{"证书已吊销或列入黑名单", "Revoked or blocked"}, RetryNo},
	ReasonDistance:        {SideTerminal, texts{"距离校验失败,请将手机贴近", "Too slow or too far, hold closer"}, RetryYes},
	ReasonRepeated:        {SideTerminal, texts{"检测到重复使用", "Repeated use detected"}, RetryNo},
	ReasonOfflineLimit:    {SideTerminal, texts{"超出终端离线限额", "Over the terminal's offline limit"}, RetryOnline},
	ReasonNeedsConnection: {SideTerminal, texts{"需要联网授权", "Needs a connection"}, RetryOnline},
	ReasonTooEarly:        {SideTerminal, texts{"手机移开过早", "Phone removed too early"}, RetryYes},
	ReasonUnknown:         {SideTerminal, texts{"结果未知,请再次靠近同一手机", "Result unknown, present the same phone again"}, RetrySamePhone},
	ReasonProtocol:        {SideTerminal, texts{"通信数据错误", "Protocol error"}, RetryOnce},
	ReasonTimeout:         {SideTerminal, texts{"超时", "Timeout"}, RetryYes},
	ReasonCancelled:       {SideTerminal, texts{"已取消", "Cancelled"}, RetryYes},
	ReasonCounter:         {SideBackend, texts{"重复的交易计数", "Duplicate counter"}, RetryNo},
	ReasonCryptogram:      {SideBackend, texts{"密文验证失败", "Cryptogram wrong"}, RetryNo},
	ReasonAllowanceCheck:  {SideBackend, texts{"离线额度校验失败", "Allowance check failed"}, RetryNo},
}

// row falls back to the row of 0B, whose text an unknown reason gets (scheme 10).
func (r Reason) row() reasonRow {
	if row, ok := reasons[r]; ok {
		return row
	}
	return reasons[ReasonRisk]
}

// Text is what cashier and customer read; English for a language without
// texts. An unknown reason reads as 0B.
func (r Reason) Text(l Language) string { return r.row().texts.in(l) }

// Side is who gives the reason.
func (r Reason) Side() Side { return r.row().side }

// Retry is whether trying again helps.
func (r Reason) Retry() Retry { return r.row().retry }
