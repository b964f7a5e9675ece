package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

// rejection is what the first plugin that rejects a node (or the pod) says.
type rejection struct {
	Plugin       string   `json:"plugin"`
	Reasons      []string `json:"reasons"`
	Unresolvable bool     `json:"unresolvable,omitempty"`
}

type score struct {
	Total   int64            `json:"total"`
	Plugins map[string]int64 `json:"plugins"`
}

// verdict is of one pod, judged alone against the state as it is.
type verdict struct {
	// Error says what stopped the cycle without a verdict.
	Error string `json:"error,omitempty"`
	// Refused is set where a PreFilter plugin rejects the pod before any node is looked at.
	Refused  *rejection           `json:"refused,omitempty"`
	Feasible []string             `json:"feasible"`
	Rejected map[string]rejection `json:"rejected"`
	// Message is that of the FitError, where no node is feasible.
	Message string `json:"message,omitempty"`
	// Scores are weighted, by feasible node.
	Scores map[string]score `json:"scores"`
	// Preemption says what could be done, where no node is feasible.
	Preemption *preempted `json:"preemption,omitempty"`
}

// current lets one framework look at one snapshot after the other.
type current struct{ fwk.SharedLister }

type judge struct {
	framework framework.Framework
	snapshot  *current
	informers informers.SharedInformerFactory
	preemptor *preemptor
}

// leftOut are the default plugins that take no part: Stowplan has none of the one, and the other would evict for real;
// preempt.go asks it what it would do.
var leftOut = sets.New(names.DynamicResources, names.DefaultPreemption)

// configured reads the KubeSchedulerConfiguration of a file, or makes the default one where no file is named.
func configured(files []string) (*config.KubeSchedulerConfiguration, error) {
	text := []byte(`{"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}`)
	if len(files) > 0 {
		var err error
		if text, err = os.ReadFile(files[0]); err != nil {
			return nil, err
		}
	}
	configuration := &config.KubeSchedulerConfiguration{}
	_, _, err := scheme.Codecs.UniversalDecoder().Decode(text, nil, configuration)
	return configuration, err
}

func newJudge(ctx context.Context, files []string) (*judge, error) {
	// Scores of extended resources would ask for devices, which are left out.
	if err := utilfeature.DefaultMutableFeatureGate.Set("DRAExtendedResource=false"); err != nil {
		return nil, err
	}
	configuration, err := configured(files)
	if err != nil {
		return nil, err
	}
	profile := configuration.Profiles[0]
	var enabled []config.Plugin
	for _, each := range profile.Plugins.MultiPoint.Enabled {
		if !leftOut.Has(each.Name) {
			enabled = append(enabled, each)
		}
	}
	profile.Plugins.MultiPoint.Enabled = enabled
	client := fake.NewClientset()
	// Never started: each state is put straight into the indexers that the plugins' listers read.
	factory := informers.NewSharedInformerFactory(client, 0)
	snapshot := &current{internalcache.NewEmptySnapshot()}
	made, err := frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), &profile,
		frameworkruntime.WithClientSet(client),
		frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithPodNominator(nobody{}),
		frameworkruntime.WithSharedCSIManager(
			nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithParallelism(1),
	)
	if err != nil {
		return nil, err
	}
	preemptor, err := newPreemptor(ctx, made)
	if err != nil {
		return nil, err
	}
	return &judge{framework: made, snapshot: snapshot, informers: factory, preemptor: preemptor}, nil
}

func (j *judge) all(ctx context.Context, objects []runtime.Object) (map[string]verdict, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the goroutine of the cache
	pending, err := j.take(ctx, objects)
	if err != nil {
		return nil, err
	}
	verdicts := make(map[string]verdict, len(pending))
	for _, pod := range pending {
		verdicts[pod.Namespace+"/"+pod.Name] = j.one(ctx, pod)
	}
	return verdicts, nil
}

// take puts a state in force and returns its pending pods. Nodes and pods go through the scheduler's own cache, all
// else into the indexers. Finished pods are left out, as by the field selector of the scheduler's informer.
func (j *judge) take(ctx context.Context, objects []runtime.Object) ([]*v1.Pod, error) {
	logger := klog.FromContext(ctx)
	schedulerCache := internalcache.New(ctx, nil, false)
	var pending []*v1.Pod
	shelves := map[cache.Indexer][]any{}
	for _, each := range []cache.SharedIndexInformer{
		j.informers.Core().V1().Nodes().Informer(),
		j.informers.Core().V1().Pods().Informer(),
		j.informers.Core().V1().Namespaces().Informer(),
		j.informers.Core().V1().PersistentVolumes().Informer(),
		j.informers.Core().V1().PersistentVolumeClaims().Informer(),
		j.informers.Core().V1().Services().Informer(),
		j.informers.Core().V1().ReplicationControllers().Informer(),
		j.informers.Apps().V1().ReplicaSets().Informer(),
		j.informers.Apps().V1().StatefulSets().Informer(),
		j.informers.Policy().V1().PodDisruptionBudgets().Informer(),
		j.informers.Storage().V1().StorageClasses().Informer(),
		j.informers.Storage().V1().CSINodes().Informer(),
		j.informers.Storage().V1().CSIDrivers().Informer(),
		j.informers.Storage().V1().CSIStorageCapacities().Informer(),
		j.informers.Storage().V1().VolumeAttachments().Informer(),
	} {
		shelves[each.GetIndexer()] = nil
	}
	for _, object := range objects {
		var shelf cache.Indexer
		switch each := object.(type) {
		case *v1.Node:
			shelf = j.informers.Core().V1().Nodes().Informer().GetIndexer()
			schedulerCache.AddNode(logger, each)
		case *v1.Pod:
			if each.Status.Phase == v1.PodSucceeded || each.Status.Phase == v1.PodFailed {
				continue
			}
			shelf = j.informers.Core().V1().Pods().Informer().GetIndexer()
			if each.Spec.NodeName == "" {
				pending = append(pending, each)
			} else if err := schedulerCache.AddPod(logger, each); err != nil {
				return nil, err
			}
		case *v1.Namespace:
			shelf = j.informers.Core().V1().Namespaces().Informer().GetIndexer()
		case *v1.PersistentVolume:
			shelf = j.informers.Core().V1().PersistentVolumes().Informer().GetIndexer()
		case *v1.PersistentVolumeClaim:
			shelf = j.informers.Core().V1().PersistentVolumeClaims().Informer().GetIndexer()
		case *v1.Service:
			shelf = j.informers.Core().V1().Services().Informer().GetIndexer()
		case *v1.ReplicationController:
			shelf = j.informers.Core().V1().ReplicationControllers().Informer().GetIndexer()
		case *appsv1.ReplicaSet:
			shelf = j.informers.Apps().V1().ReplicaSets().Informer().GetIndexer()
		case *appsv1.StatefulSet:
			shelf = j.informers.Apps().V1().StatefulSets().Informer().GetIndexer()
		case *policyv1.PodDisruptionBudget:
			shelf = j.informers.Policy().V1().PodDisruptionBudgets().Informer().GetIndexer()
		case *storagev1.StorageClass:
			shelf = j.informers.Storage().V1().StorageClasses().Informer().GetIndexer()
		case *storagev1.CSINode:
			shelf = j.informers.Storage().V1().CSINodes().Informer().GetIndexer()
		case *storagev1.CSIDriver:
			shelf = j.informers.Storage().V1().CSIDrivers().Informer().GetIndexer()
		case *storagev1.CSIStorageCapacity:
			shelf = j.informers.Storage().V1().CSIStorageCapacities().Informer().GetIndexer()
		case *storagev1.VolumeAttachment:
			shelf = j.informers.Storage().V1().VolumeAttachments().Informer().GetIndexer()
		}
		shelves[shelf] = append(shelves[shelf], object)
	}
	for shelf, items := range shelves {
		if err := shelf.Replace(items, ""); err != nil {
			return nil, err
		}
	}
	snapshot := internalcache.NewEmptySnapshot()
	if err := schedulerCache.UpdateSnapshot(logger, snapshot); err != nil {
		return nil, err
	}
	j.snapshot.SharedLister = snapshot
	return pending, nil
}

// one follows findNodesThatFitPod and prioritizeNodes of pkg/scheduler/schedule_one.go, and keeps what they throw away.
func (j *judge) one(ctx context.Context, pod *v1.Pod) verdict {
	found := verdict{Feasible: []string{}, Rejected: map[string]rejection{}, Scores: map[string]score{}}
	nodes, err := j.snapshot.NodeInfos().List()
	if err != nil {
		found.Error = err.Error()
		return found
	}
	diagnosis := framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus()}
	state := framework.NewCycleState()
	chosen, status, by := j.framework.RunPreFilterPlugins(ctx, state, pod)
	if !status.IsSuccess() {
		if !status.IsRejected() {
			found.Error = status.AsError().Error()
			return found
		}
		diagnosis.NodeToStatus.SetAbsentNodesStatus(status)
		diagnosis.PreFilterMsg = status.Message()
		refused := rejectionOf(status, status.Plugin())
		found.Refused = &refused
		found.Message = message(pod, len(nodes), diagnosis)
		found.Preemption = j.preemptor.ask(ctx, state, pod, nodes, diagnosis.NodeToStatus)
		return found
	}
	absent := fwk.NewStatus(fwk.UnschedulableAndUnresolvable,
		fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(by)))
	if !chosen.AllNodes() {
		diagnosis.NodeToStatus.SetAbsentNodesStatus(absent)
	}
	var feasible []fwk.NodeInfo
	for _, node := range nodes {
		name := node.Node().Name
		if !chosen.AllNodes() && !chosen.NodeNames.Has(name) {
			found.Rejected[name] = rejectionOf(absent, strings.Join(sets.List(by), ","))
			continue
		}
		status := j.framework.RunFilterPlugins(ctx, state, pod, node)
		switch {
		case status.IsSuccess():
			feasible = append(feasible, node)
			found.Feasible = append(found.Feasible, name)
		case status.IsRejected():
			diagnosis.NodeToStatus.Set(name, status)
			found.Rejected[name] = rejectionOf(status, status.Plugin())
		default:
			found.Error = status.AsError().Error()
			return found
		}
	}
	if len(feasible) == 0 {
		found.Message = message(pod, len(nodes), diagnosis)
		found.Preemption = j.preemptor.ask(ctx, state, pod, nodes, diagnosis.NodeToStatus)
		return found
	}
	if status := j.framework.RunPreScorePlugins(ctx, state, pod, feasible); !status.IsSuccess() {
		found.Error = status.AsError().Error()
		return found
	}
	scores, status := j.framework.RunScorePlugins(ctx, state, pod, feasible)
	if !status.IsSuccess() {
		found.Error = status.AsError().Error()
		return found
	}
	for _, each := range scores {
		by := map[string]int64{}
		for _, plugin := range each.Scores {
			by[plugin.Name] = plugin.Score
		}
		found.Scores[each.Name] = score{Total: each.TotalScore, Plugins: by}
	}
	return found
}

func message(pod *v1.Pod, nodes int, diagnosis framework.Diagnosis) string {
	if nodes == 0 {
		return "no nodes available to schedule pods"
	}
	return (&framework.FitError{Pod: pod, NumAllNodes: nodes, Diagnosis: diagnosis}).Error()
}

func rejectionOf(status *fwk.Status, plugin string) rejection {
	return rejection{
		Plugin:       plugin,
		Reasons:      status.Reasons(),
		Unresolvable: status.Code() == fwk.UnschedulableAndUnresolvable,
	}
}
