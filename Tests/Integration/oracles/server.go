// A server on Go's net/http that answers with what it understood of a request, as programs on it commonly do: encoding/json into a
// struct (which takes names in any case), ParseMultipartForm, path.Clean. Says its port on standard output.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
)

// What programs in Go declare of a request: members are found whatever their case.
type request struct {
	Model              any   `json:"model,omitempty"`
	Models             any   `json:"models,omitempty"`
	ModelID            any   `json:"model_id,omitempty"`
	Fallbacks          any   `json:"fallbacks,omitempty"`
	PreviousResponseID any   `json:"previous_response_id,omitempty"`
	Conversation       any   `json:"conversation,omitempty"`
	InputFileID        any   `json:"input_file_id,omitempty"`
	TrainingFile       any   `json:"training_file,omitempty"`
	FileID             any   `json:"file_id,omitempty"`
	FileIDs            any   `json:"file_ids,omitempty"`
	CachedContent      any   `json:"cachedContent,omitempty"`
	Requests           []struct {
		Params struct {
			Model any `json:"model,omitempty"`
		} `json:"params"`
		Body struct {
			Model any `json:"model,omitempty"`
		} `json:"body"`
	} `json:"requests,omitempty"`
	Tools []struct {
		Model     any `json:"model,omitempty"`
		Container any `json:"container,omitempty"`
	} `json:"tools,omitempty"`
}

var maker = regexp.MustCompile(`make:([A-Za-z0-9_/.:-]+)`)

func handle(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	saw := map[string]any{"method": r.Method, "path": r.URL.Path, "clean": path.Clean("/" + r.URL.Path), "json": nil, "form": nil}
	query := [][2]string{}
	for name, values := range r.URL.Query() {
		for _, value := range values {
			query = append(query, [2]string{name, value})
		}
	}
	saw["query"] = query
	headers := [][2]string{}
	for name, values := range r.Header {
		for _, value := range values {
			headers = append(headers, [2]string{strings.ToLower(name), value})
		}
	}
	saw["headers"] = headers
	var document any
	if json.NewDecoder(bytes.NewReader(body)).Decode(&document) == nil {
		saw["json"] = document
	}
	var typed request
	if json.NewDecoder(bytes.NewReader(body)).Decode(&typed) == nil {
		saw["typed"] = typed
	}
	if r.ParseMultipartForm(1<<26) == nil || r.PostForm != nil {
		form := [][2]string{}
		for name, values := range r.PostForm {
			for _, value := range values {
				form = append(form, [2]string{name, value})
			}
		}
		saw["form"] = form
	}
	answer := map[string]any{"saw": saw}
	if made := maker.FindSubmatch(body); made != nil {
		name := "id"
		if bytes.Contains(made[1], []byte("/")) {
			name = "name"
		}
		answer[name] = string(made[1])
	}
	text, _ := json.Marshal(answer)
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() { io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	http.Serve(listener, http.HandlerFunc(handle))
}
