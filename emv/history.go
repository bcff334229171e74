package emv

// history is step 8 of scheme 5.5 with rule 7 of scheme 7.3, and the update of
// the terminal's memory, which needs good evidence and a device id.
func (v *verdict) history(evident bool) {
	if v.p.DeviceID == nil {
		return
	}
	device := v.p.device()
	old, known := v.a.lookups.History.Seen(device)
	now := Seen{Device: device, ATC: max(old.ATC, v.ans.atc), Epoch: old.Epoch, Index: old.Index, Spent: old.Spent}
	v.tvr.setIf(known && v.ans.atc <= old.ATC, bitRollback)
	if s := v.ans.state; s != nil {
		if spent, _, ok := s.Sums(); ok {
			v.tvr.setIf(known && !v.rises(old, s.Epoch, s.Index, Amount(spent)), bitRollback)
			if s.Epoch > old.Epoch || s.Epoch == old.Epoch && s.Index > old.Index { // replaced together
				now.Epoch, now.Index, now.Spent = s.Epoch, s.Index, Amount(spent)
			}
		}
	}
	if evident {
		v.seen = &now
	}
}

// rises is the allowance part of rule 7.
func (v *verdict) rises(old Seen, epoch uint32, index uint16, spent Amount) bool {
	if epoch != old.Epoch {
		return epoch > old.Epoch
	}
	return index > old.Index && spent >= old.Spent+v.a.sale.Amount
}
