package pcsc

import (
	"context"
	"fmt"

	"tapkeeper/reader"
)

// Description is what can be learnt of a reader without a card.
type Description struct {
	Full     string              `json:"name"`
	Name     Name                `json:"parts"`
	Model    string              `json:"model"` // the profile's name, "" for none
	Title    string              `json:"title,omitempty"`
	Escapes  bool                `json:"escapes"` // commands for the reader itself are permitted
	Firmware string              `json:"firmware,omitempty"`
	Bad      *reader.BadFirmware `json:"known_bad,omitempty"`
	Trouble  string              `json:"trouble,omitempty"` // why something could not be asked
}

// Describe asks one reader what it is, through a context of its own and without a card. It returns when ctx ends at the
// latest. Another program that has the reader for itself is Trouble, not an error.
func Describe(ctx context.Context, full string, models []reader.Model) (Description, error) {
	d := Description{Full: full, Name: ParseName(full)}
	model := reader.ModelOf(models, full)
	if model != nil {
		d.Model, d.Title = model.Name, model.Title
	}
	sys, err := open()
	if err != nil {
		return d, err
	}
	return describe(ctx, sys, d, model)
}

func describe(ctx context.Context, sys system, d Description, model *reader.Model) (Description, error) {
	h := newHand(sys)
	defer h.letGo()
	result := d
	err := h.ask(ctx, nil, func(g *grip) reply {
		if err := g.establish(); err != nil {
			return reply{err: err}
		}
		direct, err := g.link.direct(d.Full)
		if err != nil {
			return reply{err: err}
		}
		defer func() { _ = direct.disconnect() }()
		result.learn(direct, model)
		return reply{}
	}).err
	switch {
	case ctx.Err() != nil:
		return d, fmt.Errorf("describe %s: %w", d.Full, ctx.Err())
	case why(err) == held:
		d.Trouble = reader.Held.String()
		return d, nil
	case err != nil:
		return d, fmt.Errorf("describe %s: %w", d.Full, outward(err))
	}
	return result, nil
}

// learn asks through a direct handle.
func (d *Description) learn(h handle, model *reader.Model) {
	features, err := h.control(codeFeatures, nil)
	d.Escapes = err == nil && hasFeature(features, featureEscape) || model != nil && model.Escape == reader.ByControl
	switch {
	case model == nil || !byControl(model) || model.Firmware.Ask == nil:
		return
	case !d.Escapes:
		d.Trouble = "the driver does not permit escape commands (ifdDriverOptions 0x0001)"
		return
	}
	answer, err := h.control(codeEscape, model.Firmware.Ask)
	if err != nil {
		d.Trouble = "firmware: " + err.Error()
		return
	}
	if d.Firmware = model.Firmware.Version(answer); d.Firmware != "" {
		d.Bad = model.Firmware.Judge(d.Firmware)
	}
}

// hasFeature looks for a tag in the list of features: tag, length, control code.
func hasFeature(list []byte, tag byte) bool {
	for len(list) >= 2 {
		n := 2 + int(list[1])
		if n > len(list) {
			return false
		}
		if list[0] == tag {
			return true
		}
		list = list[n:]
	}
	return false
}
