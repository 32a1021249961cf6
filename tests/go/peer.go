// SPDX-License-Identifier: LGPL-2.1-or-later

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
)

// peer does what it is told. A line on a stream is a command, which may take over
// the stream's bytes, or go about the session; most answer by a line.
type peer struct {
	session *yamux.Session
	fates   fates
	going   chan struct{} // closed: accept all that come
}

func newPeer(session *yamux.Session) *peer {
	return &peer{session: session, going: make(chan struct{})}
}

// run accepts @first streams, and the others after the command "accept"; -1: all.
// Who has not said quit ends it with an error, which is all there is to be known.
func (p *peer) run(first int) error {
	go p.obey()
	for n := 0; ; n++ {
		if n == first {
			<-p.going
		}
		conn, err := p.session.Accept()
		if err == yamux.ErrSessionShutdown {
			return nil
		}
		if err != nil {
			return err
		}
		go p.serve(conn)
	}
}

// obey says go-away at SIGUSR1, when no stream is there to ask for it.
func (p *peer) obey() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	for range signals {
		p.session.GoAway()
	}
}

// line is one stream, and the command on it.
type line struct {
	net.Conn
	in   *bufio.Reader
	args string
}

func (l *line) scan(into ...interface{}) error {
	_, err := fmt.Sscan(l.args, into...)
	return err
}

func (l *line) answer(text string) error {
	_, err := fmt.Fprintln(l, text)
	return err
}

var errEnd = errors.New("nothing more is done on this stream")

func (p *peer) serve(conn net.Conn) {
	l := &line{Conn: conn, in: bufio.NewReaderSize(conn, 4096)}
	defer conn.Close()
	for {
		text, err := l.in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.SplitN(strings.TrimSpace(text), " ", 2)
		l.args = ""
		if len(words) > 1 {
			l.args = words[1]
		}
		do := commands[words[0]]
		if do == nil {
			err = l.answer("there is no command " + words[0])
		} else {
			err = do(p, l)
		}
		if err != nil {
			return
		}
	}
}

var commands map[string]func(*peer, *line) error

func init() {
	commands = map[string]func(*peer, *line) error{
		"echo": echo, "sink": sink, "count": count, "source": source, "end": end,
		"read": readToTheEnd, "write": writeForEver, "hold": hold, "release": release,
		"fate": fate, "open": openAtOnce, "sequence": openInSequence, "openone": openOne,
		"ping": ping, "pings": pings, "goaway": goAway, "accept": acceptAll, "streams": streams,
		"complaints": complain, "quit": quit,
	}
}

// outcome answers "ok", or what went wrong.
func outcome(l *line, err error) error {
	if err != nil {
		return l.answer(err.Error())
	}
	return l.answer("ok")
}

// --- the stream's own bytes --------------------------------------------------

// echo: until the end.
func echo(p *peer, l *line) error {
	io.Copy(l.Conn, l.in)
	return errEnd
}

func (l *line) expect(len uint64, seed pattern) error {
	buf := make([]byte, 64<<10)
	for position := uint64(0); position < len; {
		want := buf
		if len-position < uint64(cap(want)) {
			want = buf[:len-position]
		}
		n, err := l.in.Read(want)
		if err != nil {
			return fmt.Errorf("after %d bytes: %v", position, err)
		}
		if err := seed.check(want[:n], position); err != nil {
			return err
		}
		position += uint64(n)
	}
	return nil
}

// sink LEN SEED: read so many bytes of the pattern, and say that they came.
func sink(p *peer, l *line) error {
	var len uint64
	var seed pattern
	if err := l.scan(&len, &seed); err != nil {
		return outcome(l, err)
	}
	return outcome(l, l.expect(len, seed))
}

// count: read to the end, and then say how many bytes came.
func count(p *peer, l *line) error {
	n, err := io.Copy(io.Discard, l.in)
	if err != nil {
		return outcome(l, err)
	}
	l.answer(fmt.Sprint(n))
	return errEnd
}

func give(w io.Writer, len uint64, seed pattern, piece uint64) error {
	buf := make([]byte, piece)
	for position := uint64(0); position < len; position += piece {
		if len-position < piece {
			buf = buf[:len-position]
		}
		seed.fill(buf, position)
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("after %d bytes: %v", position, err)
		}
	}
	return nil
}

// source LEN SEED PIECE: write so many bytes of the pattern, PIECE at a time.
func source(p *peer, l *line) error {
	var len, piece uint64
	var seed pattern
	if err := l.scan(&len, &seed, &piece); err != nil {
		return outcome(l, err)
	}
	return give(l, len, seed, piece)
}

// end: half-close. What has come can still be read, says yamux, and no more.
func end(p *peer, l *line) error {
	return errEnd
}

// read NAME: say so, and read to the end, which is then NAME's fate.
func readToTheEnd(p *peer, l *line) error {
	l.answer("ok")
	n, err := io.Copy(io.Discard, l.in)
	if err == nil {
		err = io.EOF
	}
	p.fates.note(l.args, fmt.Sprintf("%d %v", n, err))
	return errEnd
}

// write NAME: until that fails, which is then NAME's fate.
func writeForEver(p *peer, l *line) error {
	buf := make([]byte, 16<<10)
	for {
		if _, err := l.Write(buf); err != nil {
			p.fates.note(l.args, err.Error())
			return errEnd
		}
	}
}

// hold NAME: read nothing until somebody releases NAME.
func hold(p *peer, l *line) error {
	p.fates.wait(l.args)
	return nil
}

func release(p *peer, l *line) error {
	p.fates.note(l.args, "released")
	return outcome(l, nil)
}

func fate(p *peer, l *line) error {
	return l.answer(p.fates.wait(l.args))
}

// --- the session -------------------------------------------------------------

// try has one stream's bytes echoed by the other side.
func try(conn net.Conn, len uint64, seed pattern) error {
	if err := give(conn, len, seed, len); err != nil {
		return err
	}
	l := &line{Conn: conn, in: bufio.NewReader(conn)}
	if err := l.expect(len, seed); err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	if n, err := l.in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("%d bytes and %v instead of the end", n, err)
	}
	return nil
}

// open N LEN: so many streams that are open at once, each echoed.
func openAtOnce(p *peer, l *line) error {
	var nr, len uint64
	if err := l.scan(&nr, &len); err != nil {
		return outcome(l, err)
	}
	var open, done sync.WaitGroup
	errs := make(chan error, nr)
	open.Add(int(nr))
	done.Add(int(nr))
	for i := uint64(0); i < nr; i++ {
		go func(i uint64) {
			defer done.Done()
			conn, err := p.session.Open()
			open.Done()
			if err == nil {
				open.Wait()
				err = try(conn, len, pattern(i))
			}
			if err != nil {
				errs <- fmt.Errorf("stream %d: %v", i, err)
			}
		}(i)
	}
	done.Wait()
	select {
	case err := <-errs:
		return outcome(l, err)
	default:
		return outcome(l, nil)
	}
}

// sequence N LEN: so many streams, one after another, each echoed.
func openInSequence(p *peer, l *line) error {
	var nr, len uint64
	err := l.scan(&nr, &len)
	for i := uint64(0); i < nr && err == nil; i++ {
		var conn net.Conn
		if conn, err = p.session.Open(); err == nil {
			err = try(conn, len, pattern(i))
		}
	}
	return outcome(l, err)
}

// openone COMMAND: open a stream, and do on it as told there.
func openOne(p *peer, l *line) error {
	conn, err := p.session.Open()
	if err != nil {
		return outcome(l, err)
	}
	go p.serve(conn)
	return outcome(l, nil)
}

func ping(p *peer, l *line) error {
	var nr int
	err := l.scan(&nr)
	for ; nr > 0 && err == nil; nr-- {
		_, err = p.session.Ping()
	}
	return outcome(l, err)
}

// pings N: wait until so many have been sent, by whomever.
func pings(p *peer, l *line) error {
	var nr uint64
	err := l.scan(&nr)
	for err == nil && atomic.LoadUint64(&pinged) < nr {
		time.Sleep(time.Millisecond)
	}
	return outcome(l, err)
}

func goAway(p *peer, l *line) error {
	return outcome(l, p.session.GoAway())
}

func acceptAll(p *peer, l *line) error {
	close(p.going)
	return outcome(l, nil)
}

// streams: how many are open, this one among them.
func streams(p *peer, l *line) error {
	return l.answer(fmt.Sprint(p.session.NumStreams()))
}

func complain(p *peer, l *line) error {
	return l.answer(complaints.String())
}

// quit: as a program that has no more to do.
func quit(p *peer, l *line) error {
	p.session.Close()
	os.Exit(0)
	return nil
}
