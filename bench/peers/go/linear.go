package main

// linearUp draws a line from each sample to the next: six points of it for one.
type linearUp struct {
	last int32
	out  []int16
}

func (r *linearUp) process(pcm []int16) []int16 {
	r.out = r.out[:0]
	for _, sample := range pcm {
		next := int32(sample)
		step := next - r.last
		for i := int32(1); i <= times; i++ {
			r.out = append(r.out, int16(r.last+step*i/times))
		}
		r.last = next
	}
	return r.out
}

func (*linearUp) kept() int { return 0 }

func (*linearUp) close() {}

// linearDown takes the point of the line that falls on each sample of the phone: every sixth.
type linearDown struct{ out []int16 }

func (r *linearDown) process(pcm []int16) []int16 {
	r.out = r.out[:0]
	for i := times - 1; i < len(pcm); i += times {
		r.out = append(r.out, pcm[i])
	}
	return r.out
}

func (*linearDown) kept() int { return 0 }

func (*linearDown) close() {}
