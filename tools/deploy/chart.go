package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// foreign are kinds whose types are not Kubernetes' own: of those only the head is read.
var foreign = map[string]string{"PodMonitor": "monitoring.coreos.com/v1", "ScaledObject": "keda.sh/v1alpha1", "TriggerAuthentication": "keda.sh/v1alpha1"}

// everything turns all parts of the chart on.
const everything = `
secretName: rookery
serve: {extraArgs: ["--spool"], autoscaling: {enabled: true}, nodeSelector: {disk: ssd}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}}
imagePullSecrets: [{name: registry}]
workers:
  - {name: mail, image: "registry.example/mail:1", queues: ["email:processing=3", "bulk"], command: [send-mail, "--fast"], drainSeconds: 60,
     resources: {requests: {cpu: 1}}, autoscaling: {enabled: true, maxReplicas: 4}}
  - {name: other, image: "registry.example/other:1", queues: [other], command: [other], replicas: 0}
  - {name: scaled, image: "registry.example/other:1", queues: ["email:bulk=1", other], command: [other], keda: {enabled: true, maxReplicas: 4}}
  - {name: watched, image: "registry.example/other:1", queues: [other], command: [other],
     keda: {enabled: true, minReplicas: 1, maxReplicas: 4, targetSeconds: 12.5, prometheusURL: "http://prometheus:9090"}}
push: {enabled: true, callbackURL: "https://rookery.example", allowNetworks: [10.1.0.0/16, "fd00:1::/32"], allowPorts: [3000]}
podMonitor: {enabled: true, labels: {release: prometheus}}
networkPolicy: {enabled: true}
env: {ROOKERY_LEASE: 20s, ROOKERY_SPOOL_ENTRIES: 1000}
`

// refused must not pass the schema of the values: each with what must be named.
var refused = map[string]string{
	`{}`:                                     "secretName",
	`{secretName: x, replicas: 3}`:           "replicas",
	`{secretName: x, env: {lease: 20s}}`:     "lease",
	`{secretName: x, env: {REDIS_URL: "x"}}`: "REDIS_URL",
	`{secretName: x, push: {enabled: true, allowNetworks: [inside]}}`:                                                                                                 "allowNetworks",
	`{secretName: x, push: {enabled: true, callbackURL: rookery}}`:                                                                                                    "callbackURL",
	`{secretName: x, workers: [{name: a, image: b, queues: ["{x}"], command: [c]}]}`:                                                                                  "queues",
	`{secretName: x, workers: [{name: a, image: b, queues: [x], command: [c], keda: {enabled: true}}]}`:                                                               "maxReplicas",
	`{secretName: x, workers: [{name: a, image: b, queues: [x], command: [c], keda: {enabled: true, maxReplicas: 2}, autoscaling: {enabled: true, maxReplicas: 2}}]}`: "both",
}

// chart lints the chart, renders it as small and as large as it gets, and decodes what
// comes out.
func chart(_ context.Context, folder string) (errs []error) {
	for _, text := range []string{`secretName: rookery`, everything} {
		errs = append(errs, rendered(folder, text)...)
	}
	for text, name := range refused {
		if _, err := render(folder, text); err == nil || !strings.Contains(err.Error(), name) {
			errs = append(errs, fmt.Errorf("values %s give %v, want an error that names %s", text, err, name))
		}
	}
	return errs
}

func rendered(folder, text string) (errs []error) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		return []error{err}
	}
	for _, m := range lint.AllWithKubeVersion(folder, values, "default", nil).Messages {
		if m.Severity >= support.WarningSev {
			errs = append(errs, m)
		}
	}
	files, err := render(folder, text)
	if err != nil {
		return append(errs, err)
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for name, content := range files {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range strings.Split("\n"+content, "\n---") {
			if err := decode(decoder, document); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errs
}

// render is what the chart says with values.
func render(folder, text string) (map[string]string, error) {
	c, err := loader.LoadDir(folder)
	if err != nil {
		return nil, err
	}
	values, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "mail", Namespace: "default", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// decode reads one document: no field may be unknown or of another type.
func decode(decoder *json.Serializer, document string) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(document), &head); err != nil {
		return err
	}
	switch {
	case head.Kind == "" && head.APIVersion == "": // comments and blanks
		return nil
	case head.Metadata.Name == "":
		return errors.New("a document has no name")
	case foreign[head.Kind] != "":
		if head.APIVersion != foreign[head.Kind] {
			return fmt.Errorf("%s is of %s, want %s", head.Kind, head.APIVersion, foreign[head.Kind])
		}
		return nil
	}
	if _, _, err := decoder.Decode([]byte(document), nil, nil); err != nil {
		return fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err)
	}
	return nil
}
