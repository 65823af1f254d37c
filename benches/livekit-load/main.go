// livekit-load puts the load of `sfu-bench fanout` on a LiveKit server: one publisher, N subscribers in one room.
//
// `sfu-bench peers` starts it and measures the server's CPU time between its lines `begin` and `end`. The last line is
// JSON: how many packets of that window arrived and how many should have.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

const (
	joiningAtOnce   = 8
	firstMediaLimit = 30 * time.Second
	warmUp          = 2 * time.Second
	drain           = 500 * time.Millisecond
)

type options struct {
	url, key, secret string
	subscribers      int
	audio            bool
	size             int
	duration         time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "ws://127.0.0.1:7880", "signalling address of the server")
	flag.StringVar(&o.key, "key", "", "API key")
	flag.StringVar(&o.secret, "secret", "", "API secret")
	flag.IntVar(&o.subscribers, "subscribers", 50, "receivers")
	flag.BoolVar(&o.audio, "audio", false, "a packet each 20 ms instead of 25 frames a second of 8 packets")
	flag.IntVar(&o.size, "size", 1100, "bytes of an RTP payload")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "the measured window")
	flag.Parse()
	logger.SetLogger(logger.LogRLogger{}, "livekit-load")
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	room, err := connect(o, "publisher", lksdk.NewRoomCallback())
	if err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	defer room.Disconnect()
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
	published := lksdk.TrackPublicationOptions{Source: livekit.TrackSource_CAMERA, VideoWidth: 640, VideoHeight: 360}
	if o.audio {
		capability = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
		published = lksdk.TrackPublicationOptions{Source: livekit.TrackSource_MICROPHONE, DisableDTX: true}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, "load", "load")
	if err != nil {
		return err
	}
	if _, err := room.LocalParticipant.PublishTrack(track, &published); err != nil {
		return fmt.Errorf("publish: %w", err)
	}

	sinks := make([]*sink, o.subscribers)
	errs := make([]error, o.subscribers)
	for first := 0; first < o.subscribers; first += joiningAtOnce {
		var group sync.WaitGroup
		for i := first; i < min(first+joiningAtOnce, o.subscribers); i++ {
			sinks[i] = &sink{audio: o.audio}
			group.Go(func() { errs[i] = sinks[i].join(o, fmt.Sprintf("subscriber-%d", i)) })
		}
		group.Wait()
	}
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", i, err)
		}
		defer sinks[i].room.Disconnect()
	}

	source := newSource(track, o)
	go source.run()
	deadline := time.Now().Add(firstMediaLimit)
	for _, sink := range sinks {
		for sink.packets() == 0 {
			if time.Now().After(deadline) {
				return fmt.Errorf("not everybody has media after %v", firstMediaLimit)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	time.Sleep(warmUp)

	from := source.next.Load()
	started := time.Now()
	fmt.Println("begin")
	time.Sleep(o.duration)
	to := source.next.Load()
	lasted := time.Since(started)
	fmt.Println("end")
	source.stop()
	time.Sleep(drain)

	var result struct {
		Delivered uint64  `json:"delivered"`
		Expected  uint64  `json:"expected"`
		Strangers uint64  `json:"strangers"`
		DurationS float64 `json:"duration_s"`
	}
	result.Expected = (to - from) * uint64(o.subscribers)
	result.DurationS = lasted.Seconds()
	for _, sink := range sinks {
		delivered, strangers := sink.count(from, to)
		result.Delivered += delivered
		result.Strangers += strangers
	}
	line, err := json.Marshal(result)
	if err == nil {
		fmt.Println(string(line))
	}
	return err
}

func connect(o options, identity string, callback *lksdk.RoomCallback) (*lksdk.Room, error) {
	info := lksdk.ConnectInfo{APIKey: o.key, APISecret: o.secret, RoomName: "load", ParticipantIdentity: identity}
	return lksdk.ConnectToRoom(o.url, info, callback, lksdk.WithDisableRegionDiscovery())
}
