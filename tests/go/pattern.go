// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import "fmt"

// pattern is the bytes that tests/common/pattern.c has, by position.
type pattern uint32

func (p pattern) at(position uint64) byte {
	hash := (uint32(position>>5) + uint32(p)) * 2654435761
	return byte(hash>>(8*(position&3))) + byte(position)
}

func (p pattern) fill(b []byte, position uint64) {
	for i := range b {
		b[i] = p.at(position + uint64(i))
	}
}

func (p pattern) check(b []byte, position uint64) error {
	for i := range b {
		if b[i] != p.at(position+uint64(i)) {
			return fmt.Errorf("byte %d is wrong", position+uint64(i))
		}
	}
	return nil
}
