package main

// reservedDescriptors is how many open files are left to what is no WebSocket: the database,
// files, and HTTP connections.
const reservedDescriptors = 256

// boundSockets gives how many WebSockets the process may take: no more than wanted (0: as many
// as there can be), and less than its limit of open files (0: not known). Where that
// limit is low, a quarter of it stays free.
func boundSockets(wanted, descriptors int) int {
	if descriptors == 0 {
		return wanted
	}
	most := max(descriptors-reservedDescriptors, descriptors*3/4, 1)
	if wanted == 0 {
		return most
	}
	return min(wanted, most)
}
