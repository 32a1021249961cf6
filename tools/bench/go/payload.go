// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"log"
	"unsafe"
)

// fill writes every byte of message seq, as bench_fill() does.
func fill(b []byte, seq uint64) {
	value := byte(seq)
	n := len(b)
	if n > 64 {
		n = 64
	}
	for i := range b[:n] {
		b[i] = value
	}
	for ; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// check reads every byte, by words of 64 bits, as bench_check() does.
func check(b []byte, seq uint64) {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), len(b)/8)
	var s0, s1, s2, s3 uint64
	n := uint64(len(words))
	for len(words) >= 4 {
		s0 += words[0]
		s1 += words[1]
		s2 += words[2]
		s3 += words[3]
		words = words[4:]
	}
	for _, word := range words {
		s0 += word
	}
	if s0+s1+s2+s3 != uint64(byte(seq))*0x0101010101010101*n {
		log.Fatal("the payload that arrived is not the one that was sent")
	}
}
