package main

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
)

// candidate is a node that could be made free.
type candidate struct {
	// Victims are namespace/name, the most important one first.
	Victims    []string `json:"victims"`
	Violations int64    `json:"violations"`
}

// preempted is what preemption would do for a pod that fits nowhere.
type preempted struct {
	Candidates map[string]candidate `json:"candidates"`
	Chosen     string               `json:"chosen,omitempty"`
	// Message is that of the PostFilter, where there is no candidate.
	Message string `json:"message,omitempty"`
}

// nobody is nominated.
type nobody struct{}

func (nobody) AddNominatedPod(klog.Logger, fwk.PodInfo, *fwk.NominatingInfo) {}
func (nobody) DeleteNominatedPodIfExists(*v1.Pod)                            {}
func (nobody) UpdateNominatedPod(klog.Logger, *v1.Pod, fwk.PodInfo)          {}
func (nobody) NominatedPodsForNode(string) []fwk.PodInfo                     { return nil }

type preemptor struct {
	plugin *defaultpreemption.DefaultPreemption
}

func newPreemptor(ctx context.Context, handle framework.Framework) (*preemptor, error) {
	args := &config.DefaultPreemptionArgs{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 100}
	plugin, err := defaultpreemption.New(ctx, args, handle, feature.Features{})
	return &preemptor{plugin}, err
}

// ask follows Preempt of pkg/scheduler/framework/preemption/preemption.go up to where it would evict.
func (p *preemptor) ask(
	ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo, statuses *framework.NodeToStatus,
) *preempted {
	found := &preempted{Candidates: map[string]candidate{}}
	if len(nodes) == 0 {
		return nil
	}
	failed := func(said string) *preempted {
		found.Message = "preemption: " + said
		return found
	}
	if ok, why := p.plugin.PodEligibleToPreemptOthers(ctx, pod, statuses.Get(pod.Status.NominatedNodeName)); !ok {
		return failed(why)
	}
	potential, err := statuses.NodesForStatusCode(p.plugin.Evaluator.Handler.SnapshotSharedLister().NodeInfos(), fwk.Unschedulable)
	if err != nil {
		return failed(err.Error())
	}
	after := framework.NewDefaultNodeToStatus()
	if len(potential) > 0 {
		budgets, err := p.plugin.Evaluator.PdbLister.List(labels.Everything())
		if err != nil {
			return failed(err.Error())
		}
		all, statuses, err := p.plugin.Evaluator.DryRunPreemption(ctx, state, pod, potential, budgets, 0, int32(len(potential)))
		if err != nil && len(all) == 0 {
			return failed(err.Error())
		}
		after = statuses
		for _, each := range all {
			one := candidate{Violations: each.Victims().NumPDBViolations}
			for _, victim := range each.Victims().Pods {
				one.Victims = append(one.Victims, victim.Namespace+"/"+victim.Name)
			}
			found.Candidates[each.Name()] = one
		}
		if len(all) > 0 {
			found.Chosen = p.plugin.Evaluator.SelectCandidate(ctx, all).Name()
			return found
		}
	}
	after.SetAbsentNodesStatus(
		fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "Preemption is not helpful for scheduling"))
	fit := &framework.FitError{Pod: pod, NumAllNodes: len(nodes), Diagnosis: framework.Diagnosis{NodeToStatus: after}}
	return failed(fit.Error())
}
