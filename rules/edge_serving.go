package rules

// Serving is what of the serving guardrails is not as it is by default.
type Serving struct {
	// Off are the faults for which no rule is stopped: of error, broken, slow,
	// missing, duplicate and bailout.
	Off []string
	// Sample is the share of control's pages whose bytes are compared with those
	// of the origin; DefaultServingSample.
	Sample float64
}

// DefaultServingSample is the share of control's pages that are compared.
const DefaultServingSample = 0.01

func (s *Serving) read(v value) {
	f, ok := v.fields("a mapping with off or sample", "off", "sample")
	if !ok {
		return
	}
	list, _ := f.get("off").list("faults")
	for _, entry := range list {
		if name, ok := entry.oneOf("error", "broken", "slow", "missing", "duplicate", "bailout"); ok {
			s.Off = append(s.Off, name)
		}
	}
	set(&s.Sample)(sampled(f.get("sample")))
}
