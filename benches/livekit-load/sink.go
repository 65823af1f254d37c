package main

import (
	"bytes"
	"encoding/binary"
	"sync"

	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

// sink takes down every packet that it gets, once.
type sink struct {
	audio bool
	room  *lksdk.Room

	lock      sync.Mutex
	seen      map[uint64]struct{}
	strangers uint64
}

func (s *sink) join(o options, identity string) error {
	s.seen = map[uint64]struct{}{}
	callback := lksdk.NewRoomCallback()
	callback.ParticipantCallback.OnTrackSubscribed = func(
		track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant,
	) {
		go s.read(track)
	}
	room, err := connect(o, identity, callback)
	s.room = room
	return err
}

func (s *sink) read(track *webrtc.TrackRemote) {
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		s.take(packet.Payload)
	}
}

func (s *sink) take(payload []byte) {
	// What LiveKit sends to probe the way has no payload.
	if len(payload) == 0 {
		return
	}
	// LiveKit writes a VP8 payload descriptor of its own, which may be longer than ours.
	head := payload[:min(len(payload), headLength)]
	at := bytes.Index(head, magic)
	s.lock.Lock()
	defer s.lock.Unlock()
	if at < 0 || len(payload) < at+markLength {
		s.strangers++
		return
	}
	mark := payload[at:]
	s.seen[binary.BigEndian.Uint64(mark[6:])] = struct{}{}
}

func (s *sink) packets() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return len(s.seen)
}

// count tells how many of the packets from..to came, and how many came at all that LiveKit made itself.
func (s *sink) count(from, to uint64) (delivered, strangers uint64) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for number := from; number < to; number++ {
		if _, came := s.seen[number]; came {
			delivered++
		}
	}
	return delivered, s.strangers
}
