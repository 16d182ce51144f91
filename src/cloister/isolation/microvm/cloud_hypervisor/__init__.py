"""The driver of Cloud Hypervisor."""
