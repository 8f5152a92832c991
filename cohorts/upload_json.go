package cohorts

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed14307185/refract/events"
)

func (l *list) readJSON(text *bounded) error {
	in := bufio.NewReaderSize(text, maxLine)
	o := &object{ranks: map[string]int{}, list: l}
	for line := 1; ; line++ {
		b, err := in.ReadSlice('\n')
		text.next()
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return l.refuse(line, "", "it has more than %d bytes", maxLine)
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		if len(bytes.TrimSpace(b)) > 0 {
			id, problem := o.id(b)
			if problem != nil {
				return l.refuse(line, "each line is one JSON value: an object, or an id as a string", "%v", problem)
			}
			if err := l.add(id, line); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// object reads the lines of JSON Lines.
type object struct {
	list  *list
	dec   jsontext.Decoder
	buf   bytes.Buffer
	ranks map[string]int // members' names, as they are written → their place in list.names, whose len is: none
}

// id returns the id that is a line, or is in the object that it is.
func (o *object) id(line []byte) (string, error) {
	o.buf = *bytes.NewBuffer(line) // of which the decoder reads without a copy
	o.dec.Reset(&o.buf)
	id, err := "", error(nil)
	if o.dec.PeekKind() == '{' {
		id, err = o.member()
	} else {
		var v jsontext.Value
		if v, err = o.dec.ReadValue(); err == nil {
			id, err = text(v)
		}
	}
	var bad *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "", errors.New("the line ends within a JSON value")
	case errors.As(err, &bad):
		return "", bad.Err
	case err != nil:
		return "", err
	}
	if _, err := o.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return "", errors.New("there is something after the value")
	}
	return id, nil
}

// member reads an object and returns the id in it.
func (o *object) member() (id string, err error) {
	if _, err := o.dec.ReadToken(); err != nil {
		return "", err
	}
	best := len(o.list.names())
	for o.dec.PeekKind() != '}' {
		name, err := o.dec.ReadValue()
		if err != nil {
			return "", err
		}
		rank := o.rank(name)
		value, err := o.dec.ReadValue()
		if err != nil {
			return "", err
		}
		if rank >= best || value.Kind() == 'n' {
			continue
		}
		if id, err = text(value); err != nil {
			return "", err
		}
		best = rank
	}
	_, err = o.dec.ReadToken()
	return id, err
}

// rank says how well the id is known by a member's name: the less, the better.
func (o *object) rank(name []byte) int {
	rank, known := o.ranks[string(name)]
	if known {
		return rank
	}
	unquoted, _ := jsontext.AppendUnquote(nil, name) // the decoder has read it
	names := o.list.names()
	if rank = slices.Index(names, normal(string(unquoted))); rank < 0 {
		rank = len(names)
	}
	if len(o.ranks) < events.MaxProperties {
		o.ranks[string(name)] = rank
	}
	return rank
}

// text returns an id: a string, or a whole number as it is written.
func text(v jsontext.Value) (string, error) {
	switch v.Kind() {
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		return string(b), err
	case '0':
		if !bytes.ContainsAny(v, ".eE") {
			return string(v), nil
		}
	}
	return "", errors.New("an id is a string or a whole number")
}
