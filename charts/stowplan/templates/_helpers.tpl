{{/* Name of the chart, as a label value. */}}
{{- define "stowplan.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of all objects: the release's, with the chart's unless it is in there already. */}}
{{- define "stowplan.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "stowplan.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- $full | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "stowplan.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "stowplan.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is required where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "stowplan.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stowplan.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stowplan.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "stowplan.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "stowplan.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* The configuration file: the values, and what has to agree with other objects of this chart. */}}
{{- define "stowplan.configuration" -}}
{{- $lease := dict "resourceName" (include "stowplan.fullname" .) "resourceNamespace" .Release.Namespace }}
{{- $config := deepCopy .Values.config }}
{{- if $config.profiles }}
{{- $config = omit $config "schedulerName" "scoring" "pluginConfig" }}
{{- end }}
{{- $_ := set $config "leaderElection" (merge $lease $config.leaderElection) }}
{{- $_ := set $config "metricsBindAddress" (printf ":%d" (int .Values.metrics.port)) }}
{{- $_ := set $config "apiVersion" "config.stowplan.dev/v1alpha1" }}
{{- $_ := set $config "kind" "StowplanConfiguration" }}
{{- toYaml $config }}
{{- end }}

{{/* What only one release of a cluster may do: the name that stands for it, and what to tell the second one. */}}
{{- define "stowplan.once" -}}
{{- if .Values.config.controllers }}
- name: stowplan.dev:controllers
  told: looks after the StatefulClusters and SchedulingPolicies of this cluster; set config.controllers=false and a config.schedulerName of its own, or use config.profiles of that release
{{- end }}
{{- range (.Values.config.profiles | default (list .Values.config)) }}
- name: {{ printf "stowplan.dev:scheduler:%s" (replace "/" "_" (default "stowplan" .schedulerName)) | quote }}
  told: {{ printf "places the pods with schedulerName %s; set another config.schedulerName" (default "stowplan" .schedulerName) | quote }}
{{- end }}
{{- end }}

{{/* Whether a profile has default spread constraints, which follow from Services and controllers: all but those that say there are none. */}}
{{- define "stowplan.readsWorkloads" -}}
{{- range (.Values.config.profiles | default (list .Values.config)) }}
{{- $none := false }}
{{- range .pluginConfig }}
{{- $args := default dict .args }}
{{- if and (eq .name "PodTopologySpread") (eq (default "System" $args.defaultingType) "List") (not $args.defaultConstraints) }}
{{- $none = true }}
{{- end }}
{{- end }}
{{- if not $none }}true{{ end }}
{{- end }}
{{- end }}

{{/* What the schema cannot say: values that contradict each other. */}}
{{- define "stowplan.check" -}}
{{- range include "stowplan.once" . | fromYamlArray }}
{{- $there := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" .name }}
{{- if $there }}
{{- $notes := default dict $there.metadata.annotations }}
{{- $name := get $notes "meta.helm.sh/release-name" }}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" }}
{{- if and $name (or (ne $name $.Release.Name) (ne $namespace $.Release.Namespace)) }}
{{- fail (printf "the release %s in the namespace %s already %s" $name $namespace .told) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.config }}
{{- if and .profiles (or (ne .schedulerName "stowplan") .scoring.weights .pluginConfig) }}
{{- fail "config.schedulerName, config.scoring and config.pluginConfig belong into each of config.profiles" }}
{{- end }}
{{- end }}
{{- if not .Values.config.leaderElection.leaderElect }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail "replicaCount above 1 needs config.leaderElection.leaderElect: true" }}
{{- end }}
{{- if .Values.fencing.enabled }}
{{- fail "fencing.enabled needs config.leaderElection.leaderElect: true" }}
{{- end }}
{{- else }}
{{- include "stowplan.terms" .Values.config.leaderElection }}
{{- end }}
{{- end }}

{{/* A leader must stop before the others may start: the process refuses such a configuration, too, but only once it runs. */}}
{{- define "stowplan.terms" -}}
{{- $now := now }}
{{- $lease := ((dateModify (default "15s" .leaseDuration) $now).Sub $now).Seconds }}
{{- $renew := ((dateModify (default "10s" .renewDeadline) $now).Sub $now).Seconds }}
{{- $retry := ((dateModify (default "2s" .retryPeriod) $now).Sub $now).Seconds }}
{{- if le $retry 0.0 }}
{{- fail "config.leaderElection: retryPeriod must be greater than zero" }}
{{- end }}
{{- if le $renew (mulf $retry 1.2) }}
{{- fail "config.leaderElection: renewDeadline must be greater than 1.2 times retryPeriod" }}
{{- end }}
{{- if le $lease $renew }}
{{- fail "config.leaderElection: leaseDuration must be greater than renewDeadline" }}
{{- end }}
{{- end }}
