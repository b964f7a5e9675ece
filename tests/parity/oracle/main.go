// Oracle judges pods as kube-scheduler does: with its own plugins, from its own source.
//
// It reads one cluster state per line, a v1 List as JSON, and answers each with one line of JSON: the objects as the
// API server would hold them (admit.go) and a verdict for every pending pod (judge.go). tests/parity compares these
// with Stowplan's. With an argument it goes by the first profile of that KubeSchedulerConfiguration, else by the default.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type list struct {
	Items []json.RawMessage `json:"items"`
}

type answer struct {
	// Objects are those of the state, with the API server's defaults.
	Objects []json.RawMessage `json:"objects"`
	// Invalid names the objects that the API server would not take, and why. They are left out.
	Invalid map[string]string `json:"invalid,omitempty"`
	// Verdicts by namespace/name of each pending pod.
	Verdicts map[string]verdict `json:"verdicts"`
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func serve() error {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Background()))
	defer cancel()
	metrics.Register()
	judge, err := newJudge(ctx, os.Args[1:])
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return nil // the end of the input
		}
		var state list
		if err := json.Unmarshal(line, &state); err != nil {
			return err
		}
		admitted, err := admit(ctx, state.Items)
		if err != nil {
			return err
		}
		verdicts, err := judge.all(ctx, admitted.objects)
		if err != nil {
			return err
		}
		said, err := json.Marshal(answer{Objects: admitted.encoded, Invalid: admitted.invalid, Verdicts: verdicts})
		if err != nil {
			return err
		}
		out.Write(append(said, '\n'))
		if err := out.Flush(); err != nil {
			return err
		}
	}
}
