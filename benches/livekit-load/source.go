package main

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A packet's mark, as in benches/src/payload.rs: magic, publisher, number, stamp. In video it follows a VP8 payload
// descriptor with a 15-bit picture id (RFC 7741 §4.2) and a frame header (RFC 6386 §9.1).
const (
	markLength = 22
	// The mark begins within so many bytes.
	headLength  = 40
	videoOffset = 14
	// A key frame once a second: nobody has to be asked.
	framesPerKey = 25
)

var magic = []byte{0x5f, 0x0b, 0xe4, 0xc8}

// source sends frames in bursts, at a pace that does not drift.
type source struct {
	track    *webrtc.TrackLocalStaticRTP
	audio    bool
	size     int
	burst    int
	interval time.Duration
	ticks    uint32
	// Number of the next packet.
	next    atomic.Uint64
	stopped atomic.Bool
}

func newSource(track *webrtc.TrackLocalStaticRTP, o options) *source {
	s := &source{track: track, audio: o.audio, size: o.size, burst: 8, interval: 40 * time.Millisecond, ticks: 3600}
	if o.audio {
		s.burst, s.interval, s.ticks = 1, 20*time.Millisecond, 960
	}
	return s
}

func (s *source) stop() { s.stopped.Store(true) }

func (s *source) run() {
	at := time.Now()
	for frame := uint32(0); !s.stopped.Load(); frame++ {
		for place := range s.burst {
			s.send(frame, place)
		}
		at = at.Add(s.interval)
		time.Sleep(time.Until(at))
	}
}

func (s *source) send(frame uint32, place int) {
	number := s.next.Load()
	payload := make([]byte, s.size)
	mark := payload
	if !s.audio {
		// Sizes of one byte more or less, as in fanout.
		payload = make([]byte, s.size-1+int(number*2654435761>>7%3))
		first, inter := byte(0x80), byte(0x11)
		if place == 0 {
			first = 0x90
		}
		if frame%framesPerKey == 0 {
			inter = 0x10
		}
		picture := uint16(frame) | 0x8000
		copy(payload, []byte{first, 0x80, byte(picture >> 8), byte(picture), inter, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01})
		mark = payload[videoOffset:]
	}
	copy(mark, magic)
	binary.BigEndian.PutUint16(mark[4:], 0)
	binary.BigEndian.PutUint64(mark[6:], number)
	binary.BigEndian.PutUint64(mark[14:], uint64(time.Now().UnixNano()))
	packet := rtp.Packet{
		Header: rtp.Header{
			Version:        2,
			Marker:         !s.audio && place == s.burst-1,
			SequenceNumber: uint16(number),
			Timestamp:      frame * s.ticks,
		},
		Payload: payload,
	}
	// Who does not get it does not count it.
	_ = s.track.WriteRTP(&packet)
	s.next.Store(number + 1)
}
