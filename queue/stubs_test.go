package queue

func childHold()     {}
func childWorkload() {}
func childFill()     {}
