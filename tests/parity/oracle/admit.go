package main

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/storage"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	storagevalidation "k8s.io/kubernetes/pkg/apis/storage/validation"
	podregistry "k8s.io/kubernetes/pkg/registry/core/pod"
)

type admitted struct {
	objects []runtime.Object
	encoded []json.RawMessage
	invalid map[string]string
}

// admit does to each object what the API server does when it is created, so that a state holds nothing that could not
// be in a cluster: defaults, what the pod strategy writes into a spec (matchLabelKeys become part of selectors), and
// validation. Statuses stay as they are.
func admit(ctx context.Context, items []json.RawMessage) (*admitted, error) {
	result := &admitted{invalid: map[string]string{}}
	for _, raw := range items {
		object, kind, err := legacyscheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
		if err != nil {
			return nil, err
		}
		legacyscheme.Scheme.Default(object)
		object, problems, err := create(ctx, object)
		if err != nil {
			return nil, err
		}
		object.GetObjectKind().SetGroupVersionKind(*kind)
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		if len(problems) > 0 {
			result.invalid[fmt.Sprintf("%s %s", kind.Kind, accessor.GetName())] = problems.ToAggregate().Error()
			continue
		}
		encoded, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		result.objects = append(result.objects, object)
		result.encoded = append(result.encoded, encoded)
	}
	return result, nil
}

func create(ctx context.Context, object runtime.Object) (runtime.Object, field.ErrorList, error) {
	internal, err := legacyscheme.Scheme.ConvertToVersion(object, runtime.InternalGroupVersioner)
	if err != nil {
		return nil, nil, err
	}
	pod, ok := internal.(*core.Pod)
	if !ok {
		return object, validate(internal), nil
	}
	status := pod.Status
	podregistry.Strategy.PrepareForCreate(ctx, pod)
	pod.Status = status
	created := &v1.Pod{}
	if err := legacyscheme.Scheme.Convert(pod, created, nil); err != nil {
		return nil, nil, err
	}
	return created, podregistry.Strategy.Validate(ctx, pod), nil
}

func validate(internal runtime.Object) field.ErrorList {
	switch each := internal.(type) {
	case *core.Node:
		return corevalidation.ValidateNode(each)
	case *core.Namespace:
		return corevalidation.ValidateNamespace(each)
	case *core.PersistentVolume:
		options := corevalidation.ValidationOptionsForPersistentVolume(each, nil)
		return corevalidation.ValidatePersistentVolume(each, options)
	case *core.PersistentVolumeClaim:
		options := corevalidation.ValidationOptionsForPersistentVolumeClaim(each, nil)
		return corevalidation.ValidatePersistentVolumeClaim(each, options)
	case *core.Service:
		return corevalidation.ValidateServiceCreate(each)
	case *core.ReplicationController:
		return corevalidation.ValidateReplicationController(each, corevalidation.PodValidationOptions{})
	case *apps.ReplicaSet:
		return appsvalidation.ValidateReplicaSet(each, corevalidation.PodValidationOptions{})
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(each, corevalidation.PodValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(each, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *storage.StorageClass:
		return storagevalidation.ValidateStorageClass(each)
	case *storage.CSINode:
		return storagevalidation.ValidateCSINode(each)
	case *storage.CSIDriver:
		return storagevalidation.ValidateCSIDriver(each)
	case *storage.CSIStorageCapacity:
		return storagevalidation.ValidateCSIStorageCapacity(each, storagevalidation.CSIStorageCapacityValidateOptions{})
	case *storage.VolumeAttachment:
		return storagevalidation.ValidateVolumeAttachment(each)
	default:
		return field.ErrorList{field.TypeInvalid(nil, fmt.Sprintf("%T", each), "is not a kind of a state")}
	}
}
