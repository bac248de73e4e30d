// kind-config reads a configuration of a cluster as kind reads it: strictly, into kind's own types. What kind
// would refuse in form, it refuses.
package main

import (
	"bytes"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(files []string) error {
	if len(files) != 1 {
		return fmt.Errorf("usage: kind-config FILE")
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	var cluster v1alpha4.Cluster
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cluster); err != nil {
		return fmt.Errorf("%s: %w", files[0], err)
	}
	if cluster.APIVersion != "kind.x-k8s.io/v1alpha4" || cluster.Kind != "Cluster" {
		return fmt.Errorf("%s: %s %s is none of kind's", files[0], cluster.APIVersion, cluster.Kind)
	}
	v1alpha4.SetDefaultsCluster(&cluster)
	fmt.Printf("%s: %d nodes, kubeProxyMode %s\n", cluster.Name, len(cluster.Nodes), cluster.Networking.KubeProxyMode)
	return nil
}
