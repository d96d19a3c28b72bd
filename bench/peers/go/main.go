// A Go server: gorilla's WebSocket, a goroutine for each call, encoding/json, and a resampler of two kinds: linear
// interpolation in Go, or libsoxr by cgo. The first argument says which.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

const (
	phoneRate = 8000
	callRate  = 48000
	times     = callRate / phoneRate
	// Samples of 20 ms at a phone.
	frame = phoneRate / 50
)

type received struct {
	Event     string `json:"event"`
	StreamSid string `json:"streamSid"`
	Media     struct {
		Payload []byte `json:"payload"`
	} `json:"media"`
}

type payload struct {
	Payload []byte `json:"payload"`
}

type sent struct {
	Event     string  `json:"event"`
	StreamSid string  `json:"streamSid"`
	Media     payload `json:"media"`
}

// resampler is one direction of one call. Its result is valid until the next call.
type resampler interface {
	process(pcm []int16) []int16
	// kept is the most samples of the phone that it keeps between two frames.
	kept() int
	close()
}

var silence = bytes.Repeat([]byte{0xff}, 2*frame)

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func serve(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer socket.Close()
		up, down := newResampler(kind, phoneRate, callRate), newResampler(kind, callRate, phoneRate)
		defer up.close()
		defer down.close()
		var message received
		pcm := make([]int16, 0, frame)
		// An answer for each message, though a resampler may keep some of the sound and give more with the next.
		mulaw := append(make([]byte, 0, 4*frame), silence[:up.kept()+down.kept()]...)
		for {
			_, data, err := socket.ReadMessage()
			if err != nil {
				return
			}
			message.Event = ""
			if err := json.Unmarshal(data, &message); err != nil {
				return
			}
			if message.Event != "media" {
				continue
			}
			pcm = pcm[:0]
			for _, code := range message.Media.Payload {
				pcm = append(pcm, decoded[code])
			}
			for _, sample := range down.process(up.process(pcm)) {
				mulaw = append(mulaw, encoded[uint16(sample)])
			}
			if len(mulaw) < frame {
				continue
			}
			answer, err := json.Marshal(sent{"media", message.StreamSid, payload{mulaw[:frame]}})
			if err != nil || socket.WriteMessage(websocket.TextMessage, answer) != nil {
				return
			}
			mulaw = append(mulaw[:0], mulaw[frame:]...)
		}
	}
}

func newResampler(kind string, from, to int) resampler {
	if kind == "soxr" {
		return newSoxr(from, to)
	}
	if from < to {
		return &linearUp{}
	}
	return &linearDown{}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("Expected linear or soxr for the resampler")
	}
	http.HandleFunc("/media", serve(os.Args[1]))
	address := "127.0.0.1:" + os.Getenv("PORT")
	if certificate := os.Getenv("TLS_CERT_FILE"); certificate != "" {
		log.Fatal(http.ListenAndServeTLS(address, certificate, os.Getenv("TLS_KEY_FILE"), nil))
	}
	log.Fatal(http.ListenAndServe(address, nil))
}
