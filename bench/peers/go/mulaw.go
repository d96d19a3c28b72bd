package main

// µ-law of G.711 as tables, in both directions.
var (
	decoded [256]int16
	encoded [65536]byte
)

func init() {
	for code := range decoded {
		decoded[code] = expand(byte(code))
	}
	for bits := range encoded {
		encoded[bits] = compress(int16(uint16(bits)))
	}
}

func expand(code byte) int16 {
	code = ^code
	magnitude := (int16(code&0x0f)<<3 + 132) << (code >> 4 & 7)
	if code&0x80 != 0 {
		return 132 - magnitude
	}
	return magnitude - 132
}

func compress(sample int16) byte {
	const bias, most = 132, 32635
	magnitude, sign := int32(sample), byte(0)
	if magnitude < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	if magnitude > most {
		magnitude = most
	}
	magnitude += bias
	exponent := byte(7)
	for magnitude&(0x80<<exponent) == 0 {
		exponent--
	}
	return ^(sign | exponent<<4 | byte(magnitude>>(exponent+3))&0x0f)
}
